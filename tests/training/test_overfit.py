"""The whole objective on real images: a small DeepLIIF learns the two published training sets by heart."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from counterstain.options import load_options
from counterstain.training.checkpoint import load_checkpoint
from counterstain.training.datasets.paired import read_images
from counterstain.training.datasets.set_list import read_set_list
from counterstain.training.loop import train
from counterstain.training.recipe import TrainOptions, build_task

SHRINK, SIDE = 0.25, 128

RECIPE = """
name = "overfit"
task = "deepliif"

[deepliif.network]
translator = "resnet_2blocks"
segmenter = "unet_32"
generator = { width = 8, dropout = false }

[deepliif.discriminator]
layers = 2
width = 8

[deepliif.objective]
smooth_l1 = 100.0

[augment]
strength_sigma = 0.0
colour_sigma = 0.0
shift_sigma = 0.0
noise_sigma = 0.0

[loop]
steps = 500
batch = 1
learning_rate = 0.003
warmup_steps = 0
ema_decay = 0.98
gradient_clip = 0.0
precision = "32-true"
validate_every = 1000
checkpoint_every = 1000
log_every = 1
"""


def class_image(segmentation: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return 0 background or boundary, 1 negative, 2 positive, by the published rule."""
    red, green, blue = (segmentation[..., plane].astype(int) for plane in range(3))
    return np.where((red + blue > 120) & (green <= 80), np.where(red >= blue, 2, 1), 0)


def dice(true: NDArray[np.int64], found: NDArray[np.int64]) -> float:
    """Return the mean over both classes of nuclei."""
    both = [2 * ((true == kind) & (found == kind)).sum() / ((true == kind).sum() + (found == kind).sum()) for kind in (1, 2)]
    return float(np.mean(both))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_small_model_learns_the_two_real_sets_by_heart(data_dir: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    lines = [
        f'[[sets]]\npatient = "{path.stem}"\nsplit = "train"\nstrip = "{path}"'
        for path in sorted((data_dir / "deepliif-train").glob("*.png"))
    ]
    (tmp_path / "sets.toml").write_text("\n".join(lines))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    paired = {"manifest": str(tmp_path / "sets.toml"), "shrink": SHRINK, "crop_px": SIDE, "turn": False}
    options = load_options(TrainOptions, tmp_path / "recipe.toml", {"folder": str(tmp_path), "paired": paired})
    folder = train(options, lambda line: None)

    task = build_task(options, lambda line: None)
    network = task.networks["model"]
    network.load_state_dict(load_checkpoint(folder / "last.pt").average)
    infer = task.infer(network.eval())
    for found in read_set_list(tmp_path / "sets.toml", "train", ()):
        images = read_images(found, SHRINK)
        image = torch.from_numpy(images["image"].transpose(2, 0, 1).copy())[None].float() / 255
        with torch.no_grad():
            inferred = infer(image)["segmentation"][0].permute(1, 2, 0).numpy()
        assert dice(class_image(images["segmentation"]), class_image((inferred * 255).round().astype(np.uint8))) > 0.9

    losses = generator_losses(folder / "metrics.csv")
    assert set(losses) == {"hematoxylin", "dapi", "lap2", "marker", "segmentation"}
    for name, terms in losses.items():
        distance = terms["smooth l1"]
        assert np.mean(distance[-50:]) < 0.5 * np.mean(distance[:10]), name
        whole = np.add(distance, terms["gan"])  # the adversarial term is one side of a game, and need not fall alone
        assert np.mean(whole[-50:]) < 0.7 * np.mean(whole[:10]), name


def generator_losses(path: Path) -> dict[str, dict[str, list[float]]]:
    """Return the generators' losses: image -> ``gan`` or ``smooth l1`` -> value at every step."""
    losses: dict[str, dict[str, list[float]]] = {}
    with path.open(newline="") as file:
        for _, _, name, value in csv.reader(file):
            channel, _, term = name.partition(" ")
            if term in ("gan", "smooth l1"):
                losses.setdefault(channel, {}).setdefault(term, []).append(float(value))
    return losses
