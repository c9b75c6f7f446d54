"""The recipes in ``configs`` are ones that the program takes, and say what they are said to say."""

from dataclasses import replace
from pathlib import Path

import pytest

from counterstain.options import load_options
from counterstain.training.datasets.set_list import read_set_list
from counterstain.training.networks.deepliif import segmentation_weights
from counterstain.training.options import LoopOptions
from counterstain.training.recipe import TrainOptions
from counterstain.training.tasks.deepliif import deepliif_panel

CONFIGS = Path(__file__).parents[2] / "configs"
RECIPES = sorted(path for path in CONFIGS.glob("*.toml") if path.name != "sets.toml")


def recipe(name: str) -> TrainOptions:
    return load_options(TrainOptions, CONFIGS / f"{name}.toml")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_understood(path: Path) -> None:
    options = load_options(TrainOptions, path)
    assert options.paired.crop_px % 32 == 0
    assert segmentation_weights(deepliif_panel(options.deepliif), options.deepliif.network)


def test_there_is_a_recipe_for_every_task() -> None:
    assert {load_options(TrainOptions, path).task for path in RECIPES} == {"compact", "deepliif", "distillation", "cyclegan"}


def test_the_default_bundle_is_the_compact_network_with_default_options() -> None:
    assert recipe("default") == TrainOptions(name="default", loop=LoopOptions(steps=9000, max_minutes=110.0))


def test_the_ablation_differs_from_the_full_model_by_lap2_alone() -> None:
    full, without = recipe("deepliif"), recipe("without-lap2")
    assert without.deepliif.modalities == ("hematoxylin", "dapi", "marker")
    assert "lap2" not in segmentation_weights(deepliif_panel(without.deepliif), without.deepliif.network)
    network = replace(without.deepliif.network, segmentation_weights=full.deepliif.network.segmentation_weights)
    same = replace(without.deepliif, modalities=full.deepliif.modalities, network=network)
    assert replace(without, name="deepliif", deepliif=same) == full


def test_the_weights_of_the_ablation_are_those_of_the_rest_scaled_up() -> None:
    full, without = (recipe(name).deepliif.network.segmentation_weights for name in ("deepliif", "without-lap2"))
    assert full is not None
    assert without is not None
    rest = [weight for index, weight in enumerate(full) if index != 3]  # 3 is LAP2: after the input, hematoxylin and DAPI
    assert without == pytest.approx([weight / sum(rest) for weight in rest], abs=0.01)


def test_the_published_sets_are_read_as_they_are(data_dir: Path) -> None:
    if data_dir.resolve() != (CONFIGS / "../../shared/data").resolve():
        pytest.skip("the manifest names the images beside the checkout, and the tests use others")
    found = read_set_list(CONFIGS / "sets.toml", "train", ("image", "dapi", "segmentation"))
    assert [one.name for one in found] == ["Bladder1", "Lung1"]
