"""What a recipe says is checked before any work, all of it at once, and training that cannot go on ends with a message."""

import json
import multiprocessing
import os
import signal
from collections import namedtuple
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from counterstain.cli.main import main
from counterstain.errors import TrainingError, UsageError
from counterstain.options import load_options
from counterstain.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from counterstain.training.datasets import cache as module
from counterstain.training.datasets.cache import open_cache
from counterstain.training.datasets.folders import read_polygons, read_scenes, read_strips
from counterstain.training.options import DataOptions, MixtureOptions
from counterstain.training.recipe import TrainOptions
from counterstain.training.run_folder import OPTIONS, open_run, stored_options

BAD = {
    "name": ["", "../x", "a/b", ".", "a\nb", 3],
    "folder": ["", "a\x00b"],
    "task": ["", "segment"],
    "data.root": [""],
    "data.patches": [0, -1, 10**12, 1.5, "many"],
    "data.validation_patches": [-1],
    "data.patch_px": [0, 33, -32, 10**6],
    "data.mixture.tissue": [-0.1, float("nan"), float("inf"), 1e300],
    "data.field_shrink": [0, -1, float("nan")],
    "data.hold_out_every": [0, 1, -3],
    "data.workers": [0, -1, 10**6],
    "augment.noise_sigma": [-1, float("nan"), float("inf")],
    "losses.dice": [-1, float("nan")],
    "losses.class_weights": [[1, 1, 1], [0, 0, 0, 0], [1, 1, 1, -1]],
    "paired.crop_px": [0, -512, 10**7],
    "paired.shrink": [0, float("nan")],
    "paired.zoom": [[0, 1], [2, 1], [1, float("inf")], [1]],
    "loop.steps": [0, -1, 10**12],
    "loop.max_minutes": [-1, float("nan")],
    "loop.batch": [0, -1, 10**9],
    "loop.learning_rate": [0, -1e-3, float("nan"), float("inf"), 1e9],
    "loop.schedule": ["step"],
    "loop.warmup_steps": [-1],
    "loop.weight_decay": [-1, float("nan")],
    "loop.ema_decay": [-0.1, 1, float("nan")],
    "loop.gradient_clip": [-1, float("nan")],
    "loop.precision": ["x", "", "64-true"],
    "loop.validate_every": [0, -1],
    "loop.checkpoint_every": [0],
    "loop.log_every": [0],
    "loop.patience": [-1],
    "loop.seed": [-1, 2**64],
    "deepliif.discriminator.layers": [0, 100],
    "deepliif.network.generator.width": [0, 10**6],
    "deepliif.network.generator.norm": ["x"],
    "deepliif.network.inputs": [0],
    "deepliif.objective.smooth_l1_threshold": [0, float("nan")],
    "cyclegan.objective.cycle": [-1],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_value_in_which_training_makes_no_sense_is_refused_by_name(name, value):
    with pytest.raises(UsageError, match=name.split(".")[0]):
        load_options(TrainOptions, None, {name: value})


def test_all_faults_of_a_recipe_are_told_together_and_end_the_command(tmp_path):
    (tmp_path / "a.toml").write_text('[loop]\nbatch = -1\nprecision = "x"\nsteeps = 3\n[data]\nworkers = 0\n')
    result = CliRunner().invoke(main, ["train", str(tmp_path / "a.toml"), "--set", "loop.learning_rate=nan"])
    assert result.exit_code == 2
    assert "5 faults in the options" in result.stderr
    for name in ("loop.batch", "loop.precision", "loop.steeps", "data.workers", "loop.learning_rate"):
        assert f"\n  {name}: " in result.stderr


def test_shares_that_are_all_zero_leave_nothing_to_render():
    zero = {f"data.mixture.{share.name}": 0 for share in fields(MixtureOptions)}
    with pytest.raises(UsageError, match="every share is 0"):
        load_options(TrainOptions, None, zero)


def test_a_long_wrong_value_is_shown_in_part():
    with pytest.raises(UsageError) as caught:
        load_options(TrainOptions, None, {"loop.precision": "x" * 100_000})
    assert len(str(caught.value)) < 1000


def test_training_without_images_ends_with_the_message_that_says_so(tmp_path):
    recipe = f'name = "a"\nfolder = "{tmp_path}/runs"\n[data]\nroot = "{tmp_path}/none"\ncache = "{tmp_path}/cache"\n'
    (tmp_path / "a.toml").write_text(recipe + '[loop]\nprecision = "32-true"\n')
    result = CliRunner().invoke(main, ["train", str(tmp_path / "a.toml")], catch_exceptions=False)
    assert result.exit_code == 1
    assert "none, found none; set data.root" in result.stderr.replace(f"{tmp_path}/none/dsb2018/tissue/images", "none")
    assert not list((tmp_path / "cache").iterdir())


def _fail(indices):
    raise TrainingError("the third image is damaged")


def _die(indices):
    os.kill(os.getpid(), signal.SIGKILL)


CHUNKS = [np.arange(2), np.arange(2, 4), np.arange(4, 6)]


def test_an_error_in_a_rendering_process_ends_all_of_them_with_its_message():
    with pytest.raises(TrainingError, match="the third image is damaged"):
        list(module._in_processes(_fail, CHUNKS, 2))
    assert not multiprocessing.active_children()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows kills in another way")
def test_a_rendering_process_that_is_killed_ends_the_command():
    with pytest.raises(TrainingError, match=r"ended by the system.*data\.workers"):
        list(module._in_processes(_die, CHUNKS, 2))


def test_patches_for_which_the_disk_has_no_room_are_refused_before_any_is_rendered(tmp_path, monkeypatch):
    free = namedtuple("usage", "total used free")(10, 9, 1)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: free)
    with pytest.raises(TrainingError, match=r"5\.0 GB, and the disk of .* has 0\.0 GB left; set fewer data\.patches"):
        open_cache(DataOptions(cache=str(tmp_path), patches=7000), 1)


def test_a_damaged_cache_is_named(tmp_path):
    options = DataOptions(cache=str(tmp_path), root=str(tmp_path))
    folder = tmp_path / module._key(options, 1)
    folder.mkdir()
    (folder / "planes.npy").write_bytes(b"\x93NUMPY\x01")
    with pytest.raises(TrainingError, match=r"cannot keep or read patches.*set data\.cache"):
        open_cache(options, 1)


def _scene(folder, image=True, labels=True):
    for name in ("images", "labels"):
        (folder / name).mkdir()
    if image:
        Image.new("RGB", (8, 8)).save(folder / "images" / "a.png")
    if labels:
        Image.new("L", (8, 8)).save(folder / "labels" / "a.png")


def test_a_training_image_that_is_missing_damaged_or_of_another_size_is_named(tmp_path):
    _scene(tmp_path, labels=False)
    with pytest.raises(TrainingError, match=r"labels.a\.png is missing"):
        read_scenes(tmp_path)
    Image.new("L", (8, 9)).save(tmp_path / "labels" / "a.png")
    with pytest.raises(TrainingError, match="must be of one size"):
        read_scenes(tmp_path)
    (tmp_path / "labels" / "a.png").write_bytes(b"no image")
    with pytest.raises(TrainingError, match=r"labels.a\.png is not a readable image"):
        read_scenes(tmp_path)


def test_a_strip_that_is_cut_off_is_named(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 96, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:-900])
    with pytest.raises(TrainingError, match=r"a\.png is not a readable image"):
        read_strips(tmp_path)


POINT = '{"features": [{"geometry": {"type": "Point", "coordinates": [0, 0]}}]}'


@pytest.mark.parametrize("outlines", ["{", "[]", '{"features": [{}]}', POINT])
def test_outlines_that_are_none_are_named(tmp_path, outlines):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "a.geojson").write_text(outlines)
    with pytest.raises(TrainingError, match=r"a\.geojson holds no outlines"):
        read_polygons(tmp_path, pattern="a.png", shrink=1.0)


def test_a_run_that_learned_nothing_yet_takes_other_options(tmp_path):
    first = TrainOptions(folder=str(tmp_path), name="a")
    folder = open_run(first, writes=True)
    second = replace(first, task="cyclegan")
    assert open_run(second, writes=True) == folder
    assert stored_options(folder) == second
    (folder / "last.pt").write_bytes(b"")
    assert open_run(second, writes=True) == folder
    with pytest.raises(TrainingError, match="holds a run with other options"):
        open_run(first, writes=True)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(TrainingError, match="cannot make the folder of the run"):
        open_run(TrainOptions(folder=str(tmp_path), name="a"), writes=True)


@pytest.mark.parametrize("text", ["{", "[]", '{"loop": {"steps": -1}}', '{"none": 1}', "[" * 100_000])
def test_options_of_a_run_that_are_damaged_are_named(tmp_path, text):
    (tmp_path / OPTIONS).write_text(text)
    with pytest.raises(TrainingError, match=r"options\.json cannot be read as the options of a run"):
        stored_options(tmp_path)


STATE = {"a": torch.zeros(2)}
GOOD = {
    "step": 1, "model": STATE, "average": STATE, "others": {}, "optimizers": {"model": {}}, "best_score": 0.5, "stale": 0,
    "minutes": 1.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step": None}, "missing: step; unknown: nothing"),
        ({"epoch": 3}, "missing: nothing; unknown: epoch"),
        ({"step": -1}, "step: expected a number from 0, got -1"),
        ({"step": "x"}, "step: expected a number"),
        ({"best_score": float("nan")}, "best_score: "),
        ({"model": [1]}, "model: expected weights by name"),
        ({"average": {"a": 1}}, "average: expected weights by name"),
        ({"others": {"d": 3}}, "others: "),
        ({"optimizers": {"model": 3}}, "optimizers: "),
        ({"format_version": 9}, "expected checkpoint format 1 to 2, found 9"),
    ],
)
def test_a_checkpoint_with_other_content_says_which(tmp_path, changes, message):
    content = {"format_version": 2} | GOOD | changes
    torch.save({name: value for name, value in content.items() if value is not None}, tmp_path / "a.pt")
    with pytest.raises(TrainingError, match=f"(?s){message}"):
        load_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize("length", [0, 1, 100, 700, -1, -30])
def test_a_checkpoint_that_is_cut_off_is_no_readable_one(tmp_path, length):
    save_checkpoint(Checkpoint(**GOOD), tmp_path / "a.pt")
    (tmp_path / "a.pt").write_bytes((tmp_path / "a.pt").read_bytes()[:length])
    with pytest.raises(TrainingError, match=r"a\.pt is not a readable checkpoint"):
        load_checkpoint(tmp_path / "a.pt")


def test_a_checkpoint_that_cannot_be_saved_leaves_the_one_before_it(tmp_path, monkeypatch):
    save_checkpoint(Checkpoint(**GOOD), tmp_path / "a.pt")
    monkeypatch.setattr(os, "fsync", lambda number: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(TrainingError, match=r"cannot save .*No space left on device; the one before it is whole"):
        save_checkpoint(Checkpoint(**GOOD | {"step": 2}), tmp_path / "a.pt")
    assert load_checkpoint(tmp_path / "a.pt").step == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)


def test_every_option_of_export_is_checked_before_anything_is_read(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last.pt").write_bytes(b"")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.doc").write_text("")
    command = ["export", tmp_path / "run", tmp_path / "mine", "--name", "", "--version", "a\nb", "--precision", "int8"]
    result = invoke(*command)
    assert result.exit_code == 2
    assert "5 faults in the options" in result.stderr
    wrong = (
        "has no best.pt; checkpoints there: last.pt",
        "is not a bundle",
        "--name: ",
        "--version: ",
        "int8 needs --validation",
    )
    assert [part for part in wrong if part not in result.stderr] == []
    assert (tmp_path / "mine" / "thesis.doc").exists()


@pytest.mark.parametrize("checkpoint", ["../best.pt", "", "a/b.pt"])
def test_a_checkpoint_is_the_name_of_a_file(tmp_path, checkpoint):
    result = invoke("export", tmp_path, tmp_path / "b", "--checkpoint", checkpoint)
    assert result.exit_code == 2
    assert "--checkpoint: expected the name of a file" in result.stderr


def test_weights_of_another_network_are_refused_by_export(tmp_path):
    save_checkpoint(Checkpoint(**GOOD), tmp_path / "best.pt")
    result = invoke("export", tmp_path, tmp_path / "b")
    assert result.exit_code == 1
    assert "do not fit the network of its options" in result.stderr
    assert not (tmp_path / "b").exists()


def test_every_option_of_import_is_checked_before_anything_is_read(tmp_path):
    command = ["import-deepliif", tmp_path / "none", tmp_path / "no" / "b", "--epoch", "../x", "--seg-weights", "0.5,nan"]
    result = invoke(*command, "--licence", " ", "--validation", tmp_path / "none.toml")
    assert result.exit_code == 2
    assert "7 faults in the options" in result.stderr
    wrong = (
        "FOLDER: ",
        "BUNDLE: ",
        "--epoch: ",
        "--seg-weights: ",
        "--licence: ",
        "used by --precision int8 alone",
        "not a file",
    )
    assert [part for part in wrong if part not in result.stderr] == []


@pytest.mark.parametrize("text", ["", "a", "1,", "0.5,0.6", "-1,2", "inf"])
def test_weights_of_segmentations_are_numbers_that_add_up_to_one(tmp_path, text):
    result = invoke("import-deepliif", tmp_path, tmp_path / "b", "--seg-weights", text)
    assert result.exit_code == 2
    assert "--seg-weights: expected" in result.stderr


def test_a_card_that_is_no_page_is_refused(tmp_path):
    (tmp_path / "card.md").write_bytes(bytes(2**20 + 1))
    result = invoke("export", tmp_path / "none", tmp_path / "b", "--card", tmp_path / "card.md")
    assert "--card: " in result.stderr


def test_the_options_are_json_that_reads_as_they_are(tmp_path):
    options = TrainOptions(folder=str(tmp_path), name="a")
    assert json.loads((open_run(options, writes=True) / OPTIONS).read_text())["loop"]["precision"] == "bf16-mixed"
