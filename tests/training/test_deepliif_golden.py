"""The numbers of the published DeepLIIF software, from random weights that it saved and what it made of them."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from counterstain.cells.decoders.deepliif import automatic_size, find_components, magnification_of, pixel_classes
from counterstain.cells.deepliif_counts import Limits, count_cells, score
from counterstain.geometry import DEFAULT_MPP
from counterstain.inference.bundle import load_bundle
from counterstain.inference.onnx import OnnxBackend
from counterstain.inference.published import infer_published
from counterstain.training.exporting.export import export_network
from counterstain.training.importing.deepliif import read_deepliif, read_weights
from counterstain.training.networks.names import generator
from counterstain.training.tasks.deepliif import exported_deepliif
from counterstain.training.torch_backend import TorchBackend

TENSOR_LIMIT = 1e-3
GREY_LEVELS, SHARE, DOUBLED_SHARE = 1, 0.01, 1e-4
NETWORK_PX = 512
FILES = {
    "hematoxylin": "mod1-Hematoxylin",
    "dapi": "mod2-DAPI",
    "lap2": "mod3-Lap2",
    "marker": "mod4-Marker",
    "segmentation": "Seg",
}


def rgb(path):
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.fixture(scope="module")
def small(golden_dir):
    return read_deepliif(golden_dir / "small" / "model")


@pytest.fixture(scope="module")
def modern(golden_dir):
    return read_deepliif(golden_dir / "modern" / "model")


def manifest_of(model):
    return exported_of(model).manifest(name="golden", version="1", licence="CC0-1.0")


def exported_of(model):
    return exported_deepliif(model.network, model.panel, model.network.stride_px)


def in_memory(model):
    return TorchBackend(model.network, manifest_of(model))


@torch.no_grad()
def test_each_generator_gives_the_published_tensor(small, golden_dir):
    image = rgb(golden_dir / "inputs" / "synth512.png").astype(np.float32) / 127.5 - 1
    outputs = small.network(torch.from_numpy(image.transpose(2, 0, 1)[None].copy()))
    names = {f"G{number}": name for number, name in enumerate(small.network.translators, start=1)}
    names |= {f"G5{number}": f"segmentation_from_{name}" for number, name in enumerate(small.network.segmenters, start=1)}
    assert len(names) == 9
    for published, name in names.items():
        expected = np.load(golden_dir / "small" / "tensors" / f"synth512__{published}__tanh.npy")
        assert np.abs(outputs[name].numpy() - expected).max() < TENSOR_LIMIT, published


@torch.no_grad()
def test_the_running_statistics_in_the_files_would_give_something_else(small, golden_dir):
    """The check above means something: with the stored statistics the same weights are off by more than 1."""
    path = golden_dir / "small" / "model" / "latest_net_G1.pth"
    stored = torch.load(path, weights_only=True)
    network = generator("resnet_9blocks", 3, 3, small.options.generator)
    network.load_state_dict(read_weights(path))
    for name, module in list(network.named_modules()):
        if f"{name}.running_mean" in stored:
            norm = torch.nn.BatchNorm2d(len(module.weight))
            norm.load_state_dict({key: stored[f"{name}.{key}"] for key in norm.state_dict()})
            parent, _, last = name.rpartition(".")
            network.get_submodule(parent)[int(last)] = norm
    image = rgb(golden_dir / "inputs" / "synth512.png").astype(np.float32) / 127.5 - 1
    wrong = network.eval()(torch.from_numpy(image.transpose(2, 0, 1)[None].copy()))
    expected = np.load(golden_dir / "small" / "tensors" / "synth512__G1__tanh.npy")
    assert np.abs(wrong.numpy() - expected).max() > 1


def assert_published(results, folder, stem, *, enlarged=False):
    """Compare every image that the published command wrote.

    Parameters
    ----------
    enlarged : whether tiles are enlarged after the network. That doubles a level that is rounded the other way, which depends
        on the processor: a few values in a hundred thousand then differ by two.
    """
    compared = 0
    for name, suffix in FILES.items():
        path = folder / f"{stem}_{suffix}.png"
        if path.exists():
            difference = np.abs(rgb(path).astype(int) - results[name])
            assert difference.max() <= GREY_LEVELS * (2 if enlarged else 1), name
            assert (difference > GREY_LEVELS).mean() < DOUBLED_SHARE, name
            assert (difference > 0).mean() < SHARE, name
            compared += 1
    assert compared in (1, 5)


def assert_counted_as_published(segmentation, path, tile_px):
    """Count by the published rule and compare with the published counts of the same image."""
    expected = json.loads(path.read_text())
    components = find_components(pixel_classes(segmentation))
    size = automatic_size(components.sizes, magnification_of(DEFAULT_MPP * 512 / tile_px))
    found = score(count_cells(components, Limits(size=size))) | {"size_thresh": size}
    assert found == {name: expected[name] for name in found}


@pytest.mark.parametrize("kind", ["small", "modern"])
@pytest.mark.parametrize("stem", ["22_2", "799_2"])
def test_the_command_on_one_tile(small, modern, golden_dir, data_dir, kind, stem):
    model, image = {"small": small, "modern": modern}[kind], rgb(data_dir / "deepliif-bc4" / "ihc" / f"{stem}.png")
    results = infer_published(image, in_memory(model), backgrounds=model.backgrounds)
    assert_published(results, golden_dir / kind / "cli_testtiles", stem)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "case", "tile_px", "stem"),
    [
        ("small", "cli_synth_ts256", 256, "synth512"),
        ("modern", "cli_synth_ts256", 256, "synth512"),
        ("small", "cli_synth_ts1000", 1000, "synth1041x777"),
        ("small", "cli_segonly", 512, "synth1041x777"),
        ("small", "cli_segonly", 512, "synth1500x600blank"),
        ("small", "cli_segonly", 512, "synth300x400"),
        ("small", "cli_segonly", 512, "synth512"),
    ],
)
def test_the_command_on_several_tiles(small, modern, golden_dir, kind, case, tile_px, stem):
    model, folder = {"small": small, "modern": modern}[kind], golden_dir / kind / case
    image = rgb(golden_dir / "inputs" / f"{stem}.png")
    results = infer_published(image, in_memory(model), tile_px=tile_px, backgrounds=model.backgrounds)
    assert_published(results, folder, stem, enlarged=tile_px > NETWORK_PX)
    assert_counted_as_published(rgb(folder / f"{stem}_Seg.png"), folder / f"{stem}.json", tile_px)


@pytest.mark.slow
def test_a_bundle_gives_the_published_images(small, golden_dir, data_dir, tmp_path):
    """The whole way: checkpoints to a bundle to ONNX Runtime, without resampling."""
    export_network(exported_of(small), manifest_of(small), tmp_path / "bundle", files={})
    backend = OnnxBackend(load_bundle(tmp_path / "bundle"), threads=1)
    image = rgb(data_dir / "deepliif-bc4" / "ihc" / "22_2.png")
    assert_published(infer_published(image, backend), golden_dir / "small" / "cli_testtiles", "22_2")
    image = rgb(golden_dir / "inputs" / "synth1041x777.png")
    assert_published(infer_published(image, backend), golden_dir / "small" / "cli_segonly", "synth1041x777")
