"""Folders of the published software: which are read, what comes out, and that nothing in them runs."""

import json
import warnings
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from counterstain.cli.main import main
from counterstain.errors import TrainingError
from counterstain.inference.bundle import load_bundle
from counterstain.inference.onnx import OnnxBackend
from counterstain.panel import SEGMENTATION, Channel, Panel
from counterstain.training.exporting.export import export_network
from counterstain.training.exporting.weights import FILE, read_network, weights_file
from counterstain.training.importing.deepliif import OLD_WEIGHTS, model_card, read_deepliif, read_weights
from counterstain.training.importing.options_file import parse_options, parse_value, read_options
from counterstain.training.importing.torchscript import read_torchscript
from counterstain.training.networks.deepliif import DeepLIIFNetwork, DeepLIIFOptions
from counterstain.training.networks.layers import GeneratorOptions, initialise
from counterstain.training.tasks.deepliif import exported_deepliif

OPTIONS = DeepLIIFOptions(
    translator="resnet_1blocks",
    segmenter="unet_32",
    generator=GeneratorOptions(width=2),
    segmentation_weights=(0.2, 0.3, 0.5),
)
PANEL = Panel(
    channels=(Channel(name="dapi", planes=3, title="DAPI"), Channel(name="marker", planes=3, title="Marker"), SEGMENTATION),
    marker="marker",
)

TEXT = """----------------- Options ---------------
        background_colors: [(np.uint8(200), np.uint8(205), np.uint8(210)), (9, 8, 7)]
         modalities_names: ['IHC', 'DAPI', 'Marker']    \t[default: []]
            modalities_no: 2
                    model: DeepLIIF
                    net_g: resnet_1blocks
                   net_gs: unet_32
               no_dropout: False
                     norm: batch
                  padding: zero
              seg_weights: [0.2, 0.3, 0.5]
----------------- End -------------------
"""


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = DeepLIIFNetwork(PANEL, OPTIONS)
    initialise(network, 0.2)
    return network.eval()


def generators(network):
    """Return the generators by their published names."""
    translators = {f"G{number}": one for number, one in enumerate(network.translators.values(), start=1)}
    return translators | {f"GS{number}": one for number, one in enumerate(network.segmenters.values())}


def published_state(network):
    """Return weights as a published file has them: with running statistics, which are junk."""
    state = {}
    for name, value in network.state_dict().items():
        state[name] = value
        if name.endswith("bias") and value.ndim == 1 and name.replace("bias", "weight") in state:
            junk = {"running_mean": value + 9, "running_var": value.abs() + 9, "num_batches_tracked": torch.tensor(7)}
            state |= {name.replace("bias", suffix): tensor for suffix, tensor in junk.items()}
    return state


@pytest.fixture
def folder(network, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "train_opt.txt").write_text(TEXT)
    for name, one in generators(network).items():
        torch.save(published_state(one), folder / f"latest_net_{name}.pth")
    return folder


def change(folder, old, new):
    path = folder / "train_opt.txt"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def answers(network):
    image = torch.rand(1, 3, 32, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        return network(image)


def assert_same(network, other):
    for name, value in answers(network).items():
        assert torch.equal(value, answers(other)[name]), name


def test_a_folder_gives_the_model_that_was_saved(network, folder):
    model = read_deepliif(folder)
    assert model.panel == PANEL
    assert model.options == OPTIONS
    assert model.backgrounds == {"dapi": (200, 205, 210), "marker": (9, 8, 7)}
    assert_same(network, model.network)


def test_prefixes_of_parallel_training_are_dropped(network, folder):
    path = folder / "latest_net_G1.pth"
    torch.save({f"module.{name}": value for name, value in torch.load(path, weights_only=True).items()}, path)
    assert_same(network, read_deepliif(folder).network)


def test_another_epoch_can_be_chosen(network, folder):
    for path in folder.glob("*.pth"):
        path.rename(folder / path.name.replace("latest", "80"))
    assert_same(network, read_deepliif(folder, epoch="80").network)


@pytest.mark.parametrize("first", [0, 1])
def test_old_names_of_segmentations_are_read(network, folder, first):
    for number in range(3):
        (folder / f"latest_net_GS{number}.pth").rename(folder / f"latest_net_G3{number + first}.pth")
    assert_same(network, read_deepliif(folder).network)


def test_torchscript_files_are_read_without_running_them(network, folder):
    for name, one in generators(network).items():
        save_traced(one, folder / f"{name}.pt")
        (folder / f"latest_net_{name}.pth").unlink()
    for path in folder.glob("*.pt"):
        with_program_removed(path)
    assert_same(network, read_deepliif(folder).network)


def save_traced(network, path):
    """Write a TorchScript file as the published software does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch writes no more of them in the long run, but they are there to be read
        torch.jit.save(torch.jit.trace(network, torch.zeros(1, 3, 32, 32)), path)


def with_program_removed(path):
    """Replace the program of an archive by one that does not parse: only its tensors can be of use."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, b"raise SystemExit" if "/code/" in name else content)


def test_a_generator_of_weight_zero_is_not_read(folder):
    (folder / "latest_net_GS1.pth").unlink()
    model = read_deepliif(folder, weights=(0.5, 0.0, 0.5))
    assert set(model.network.segmenters) == {"input", "marker"}
    assert "latest_net_GS1.pth" not in model.files


def test_a_model_without_segmentation_is_read(folder):
    change(folder, "model: DeepLIIF", "model: DeepLIIF\n                  seg_gen: False")
    assert set(answers(read_deepliif(folder).network)) == {"dapi", "marker"}


def test_options_that_name_no_modalities_get_the_published_names_and_weights(tmp_path):
    torch.manual_seed(0)
    names = ("hematoxylin", "dapi", "lap2", "marker")
    panel = Panel(channels=(*(Channel(name=name, planes=3) for name in names), SEGMENTATION), marker="marker")
    network = DeepLIIFNetwork(panel, replace(OPTIONS, segmentation_weights=OLD_WEIGHTS))
    (tmp_path / "train_opt.txt").write_text("model: DeepLIIF\ntargets_no: 5\nnetG: resnet_1blocks\nnet_gs: unet_32\n")
    for number, one in enumerate(network.translators.values(), start=1):
        torch.save(one.state_dict(), tmp_path / f"latest_net_G{number}.pth")
    for number, one in zip((51, 55), network.segmenters.values(), strict=True):
        torch.save(one.state_dict(), tmp_path / f"latest_net_G{number}.pth")
    model = read_deepliif(tmp_path)
    assert [channel.name for channel in model.panel.modalities] == list(names)
    assert model.network.weights == {"input": 0.5, "marker": 0.5}
    assert model.backgrounds["hematoxylin"] == (201, 211, 208)
    assert_same(network.eval(), model.network)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("model: DeepLIIF", "model: CycleGAN", "model: CycleGAN; expected one of DeepLIIF"),
        ("norm: batch", "norm: spectral", "norm: spectral; expected one of batch"),
        ("modalities_no: 2", "modalities_no: 3", "expected the input and 3 modalities"),
        ("modalities_no: 2", "modalities_no: many", "modalities_no: many; expected a number"),
        ("modalities_no: 2", "modalities_no: 1e999", "modalities_no: inf; expected a number"),
        ("net_gs: unet_32", "net_gs: unet_64", "do not fit its options"),
        ("net_gs: unet_32", "net_gs: transformer", "no generator 'transformer'"),
        ("[0.2, 0.3, 0.5]", "[0.9, 0.3, 0.5]", "add up to 1"),
        ("[0.2, 0.3, 0.5]", "['a', 'b', 'c']", "could not convert"),
        ("'DAPI', 'Marker'", "'DAPI', 'dapi'", "cannot be channels"),
        ("model: DeepLIIF", "model: DeepLIIF\n input_no: 2", "reads 2 images"),
        ("(9, 8, 7)", "'white'", "not colours"),
    ],
)
def test_what_does_not_make_sense_is_refused(folder, old, new, message):
    change(folder, old, new)
    with pytest.raises(TrainingError, match=message):
        read_deepliif(folder)


def test_a_missing_file_is_named(folder):
    (folder / "latest_net_GS2.pth").unlink()
    with pytest.raises(TrainingError, match=r"expected latest_net_GS2\.pth or GS2\.pt, or latest_net_G33\.pth or G33\.pt"):
        read_deepliif(folder)
    (folder / "train_opt.txt").unlink()
    with pytest.raises(TrainingError, match=r"has no train_opt\.txt"):
        read_deepliif(folder)


class Hostile:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (type(self.trace).touch, (self.trace,))


def test_a_hostile_checkpoint_does_not_run(folder, tmp_path):
    torch.save({"model.1.weight": Hostile(tmp_path / "trace")}, folder / "latest_net_G1.pth")
    with pytest.raises(TrainingError, match=r"latest_net_G1\.pth is not a file of weights alone"):
        read_deepliif(folder)
    assert not (tmp_path / "trace").exists()


def test_a_hostile_torchscript_file_does_not_run(network, tmp_path):
    path = tmp_path / "G1.pt"
    save_traced(network.translators["dapi"], path)
    torch.save({"weight": Hostile(tmp_path / "trace")}, tmp_path / "evil")
    with zipfile.ZipFile(tmp_path / "evil") as evil:
        attack = evil.read("evil/data.pkl")
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, attack if name.endswith("data.pkl") else content)
    with pytest.raises(TrainingError, match=r"without executing it .*use the \.pth files"):
        read_weights(path)
    assert not (tmp_path / "trace").exists()


def test_hostile_options_are_text(folder, tmp_path):
    trace = tmp_path / "trace"
    change(folder, "norm: batch", f"norm: __import__('pathlib').Path('{trace}').touch()")
    with pytest.raises(TrainingError, match="norm: __import__"):
        read_deepliif(folder)
    assert not trace.exists()


@pytest.mark.parametrize("content", [[1, 2], {"weight": 3}, torch.zeros(2)])
def test_a_file_that_is_no_table_of_tensors_is_refused(content, tmp_path):
    torch.save(content, tmp_path / "G1.pth")
    with pytest.raises(TrainingError, match="does not hold a table of tensors"):
        read_weights(tmp_path / "G1.pth")


def test_a_damaged_archive_is_refused(network, tmp_path):
    path = tmp_path / "G1.pt"
    save_traced(network.translators["dapi"], path)
    content = path.read_bytes()
    for end in (100, len(content) // 2):
        path.write_bytes(content[:end])
        with pytest.raises(TrainingError):
            read_torchscript(path)


def test_any_change_of_a_torchscript_pickle_is_read_or_refused(network, tmp_path):
    """Bytes of the pickle are changed at random: whatever that makes of it, tensors come out or one message."""
    path, rng = tmp_path / "G1.pt", np.random.default_rng(0)
    save_traced(network.translators["dapi"], path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    pickle = next(name for name in entries if name.endswith("data.pkl"))
    refused = 0
    for _ in range(150):
        changed = bytearray(entries[pickle])
        for position in rng.integers(0, len(changed), 3):
            changed[position] = rng.integers(0, 256)
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in entries.items():
                archive.writestr(name, bytes(changed) if name == pickle else content)
        try:
            assert all(isinstance(value, torch.Tensor) for value in read_torchscript(path).values())
        except TrainingError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[0.25, 1]", [0.25, 1]),
        ("None", None),
        ("(np.uint8(3), numpy.float32(0.5))", (3, 0.5)),
        ("resnet_9blocks", "resnet_9blocks"),
        ("./checkpoints", "./checkpoints"),
        ("", ""),
        ("open('x')", "open('x')"),
        ("np.uint8(open('x'))", "np.uint8(open('x'))"),
        ("[" * 9000, "[" * 9000),
        ("9" * 20_000, "9" * 20_000),
    ],
)
def test_a_value_is_a_literal_or_text(text, value):
    assert parse_value(text) == value


def test_lines_of_old_and_new_files_are_read():
    assert parse_options("--- Options ---\n  a: 1   \t[default: 2]\n  b: http://x:80\n---") == {"a": 1, "b": "http://x:80"}


def test_the_options_for_testing_are_preferred(tmp_path):
    (tmp_path / "train_opt.txt").write_text("a: 1")
    (tmp_path / "test_opt.txt").write_text("a: 2")
    assert read_options(tmp_path) == {"a": 2}


def test_options_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "train_opt.txt").write_bytes(b"a: \xff\xfe")
    with pytest.raises(TrainingError, match="cannot read"):
        read_options(tmp_path)
    (tmp_path / "train_opt.txt").write_bytes(b" " * 1_000_001)
    with pytest.raises(TrainingError, match="larger than"):
        read_options(tmp_path)


def test_a_bundle_gives_the_numbers_of_the_model_and_its_weights_back(folder, tmp_path):
    model = read_deepliif(folder)
    exported = exported_deepliif(model.network, model.panel, model.network.stride_px)
    manifest = exported.manifest(name="x", version="1", licence="CC0-1.0")
    files = {FILE: weights_file(model.network, model.options), "MODEL_CARD.md": model_card(model).encode()}
    assert export_network(exported, manifest, tmp_path / "bundle", files=files) < 1e-4
    backend = OnnxBackend(bundle := load_bundle(tmp_path / "bundle"), threads=1)
    assert backend.manifest.decoder == "deepliif"
    image = torch.rand(1, 3, 32, 64, generator=torch.Generator().manual_seed(1))
    outputs = backend.run(image.numpy())
    for name, value in answers(model.network).items():
        if name in outputs:
            np.testing.assert_allclose(outputs[name], (value + 1) / 2, atol=1e-4)
    assert_same(model.network, read_network(bundle))
    assert "| marker | 0.5 |" in bundle.weights["MODEL_CARD.md"].decode()


def test_the_command_makes_a_bundle_that_analyze_runs(folder, tmp_path):
    arguments = ["import-deepliif", str(folder), str(tmp_path / "bundle"), "--seg-weights", "0.5,0,0.5", "--licence", "CC0-1.0"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert "input 0.5, marker 0.5" in done.output
    manifest = load_bundle(tmp_path / "bundle").manifest
    assert (manifest.licence, manifest.margin_px, manifest.stride_px) == ("CC0-1.0", 32, 32)
    noise = np.random.default_rng(0).integers(0, 255, (70, 90, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    out = tmp_path / "out"
    analyze = ["analyze", str(tmp_path / "noise.png"), "--bundle", str(tmp_path / "bundle"), "--out", str(out), "--mpp", "0.25"]
    done = CliRunner().invoke(main, analyze)
    assert done.exit_code == 0, done.output
    with Image.open(out / "noise" / "marker.png") as picture:
        assert picture.size == (90, 70)
    record = json.loads((out / "noise" / "analysis.json").read_text())
    assert "deepliif" in json.dumps(record)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--seg-weights", "1,two"], 2, "expected numbers separated by commas, got '1,two'"),
        (["--seg-weights", "1"], 1, "expected 3 segmentation weights"),
        (["--epoch", "7"], 1, "expected 7_net_G1.pth or G1.pt"),
    ],
)
def test_the_command_says_what_is_wrong(folder, tmp_path, arguments, code, message):
    done = CliRunner().invoke(main, ["import-deepliif", str(folder), str(tmp_path / "bundle"), *arguments])
    assert done.exit_code == code
    assert message in done.output
    assert not (tmp_path / "bundle").exists()
