import json
import os
import warnings
import zipfile
from pathlib import Path

import pytest
from pydantic import ValidationError

from counterstain.errors import BundleError
from counterstain.inference.bundle import Manifest, WeightFile, load_bundle, write_bundle
from counterstain.outputs.names import FORMATS
from counterstain.panel import RESERVED_NAMES, Panel

from .conftest import MANIFEST, graph


def _edit(bundle, **changes):
    """Change keys of the manifest; None removes one."""
    path = bundle.source / "manifest.json"
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))
    return bundle.source


def _zipped(bundle, path, folder=""):
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("manifest.json", "model.onnx", "MODEL_CARD.md"):
            archive.write(bundle.source / name, folder + name)
    return path


def test_what_was_written_is_read(bundle):
    again = load_bundle(bundle.source)
    assert again == bundle
    assert again.manifest.panel == MANIFEST.panel
    assert again.weights == {"model.onnx": graph(), "MODEL_CARD.md": b"# Tiny"}
    assert len(again.fingerprint) == 64


@pytest.mark.parametrize("folder", ["", "tiny/"])
def test_a_zip_is_the_bundle_of_its_folder(bundle, tmp_path, folder):
    zipped = load_bundle(_zipped(bundle, tmp_path / "tiny.zip", folder))
    assert (zipped.manifest, zipped.weights, zipped.fingerprint) == (bundle.manifest, bundle.weights, bundle.fingerprint)


def test_a_wrong_checksum_names_the_file_what_was_expected_and_what_was_found(bundle):
    (bundle.source / "model.onnx").write_bytes(graph(scale=2))
    expected = bundle.manifest.weights[0].sha256
    with pytest.raises(BundleError, match=rf"model\.onnx.*altered.*expected SHA-256 {expected}, found [0-9a-f]{{64}}"):
        load_bundle(bundle.source)


@pytest.mark.parametrize("key", ["name", "panel", "mpp", "tile_px", "licence"])
def test_a_missing_key_is_named(bundle, key):
    with pytest.raises(BundleError, match=f"missing key: {key}"):
        load_bundle(_edit(bundle, **{key: None}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mpp": "fine"}, "mpp: "),
        ({"mpp": -1}, "mpp: "),
        ({"colour": 1}, "colour: "),
        ({"tile_px": 4}, "twice margin_px 2"),
        ({"tile_px": 18}, "multiple of stride_px 4"),
        ({"weights": [{"file": "../model.onnx", "sha256": ""}]}, "inside the bundle"),
        ({"weights": [{"file": "/etc/passwd", "sha256": ""}]}, "inside the bundle"),
        ({"weights": [{"file": "gone.onnx", "sha256": ""}]}, r"no readable gone\.onnx: No such file or directory$"),
        ({"format_version": 7}, "format version 7.*reads 1.*clone.*pip install --force-reinstall"),
    ],
)
def test_a_bad_manifest_says_what_is_wrong(bundle, changes, message):
    with pytest.raises(BundleError, match=f"(?s){message}"):
        load_bundle(_edit(bundle, **changes))


def test_a_manifest_that_is_not_json_is_named(bundle):
    (bundle.source / "manifest.json").write_text("{")
    with pytest.raises(BundleError, match="not JSON"):
        load_bundle(bundle.source)


def test_a_manifest_that_is_no_object_is_refused(bundle):
    (bundle.source / "manifest.json").write_text("[]")
    with pytest.raises(BundleError, match="format version None"):
        load_bundle(bundle.source)


def test_a_folder_without_manifest_is_no_bundle(tmp_path):
    with pytest.raises(BundleError, match=r"manifest\.json"):
        load_bundle(tmp_path)


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(BundleError, match="nowhere does not exist"):
        load_bundle(tmp_path / "nowhere")


def test_a_file_that_is_not_a_zip_is_no_bundle(tmp_path):
    (tmp_path / "a.zip").write_text("no")
    with pytest.raises(BundleError, match=r"a\.zip is neither a bundle folder nor a readable zip"):
        load_bundle(tmp_path / "a.zip")


def test_a_damaged_zip_is_refused(bundle, tmp_path):
    path = _zipped(bundle, tmp_path / "tiny.zip")
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"licence"', b'"license"', 1))
    with pytest.raises(BundleError, match="CRC"):
        load_bundle(path)


def test_a_zip_bomb_is_refused_from_its_directory(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr("counterstain.inference.bundle_files.MAX_FILE_BYTES", 10)
    with pytest.raises(BundleError, match=r"model\.onnx of the bundle has [\d,]+ bytes, allowed are 10"):
        load_bundle(_zipped(bundle, tmp_path / "tiny.zip"))


def test_writing_replaces_a_bundle_and_leaves_nothing_else(bundle):
    replaced = write_bundle(bundle.source, MANIFEST, {"model.onnx": graph(scale=2)})
    assert replaced.fingerprint != bundle.fingerprint
    assert sorted(path.name for path in bundle.source.iterdir()) == ["manifest.json", "model.onnx"]
    assert [path.name for path in bundle.source.parent.iterdir()] == ["tiny"]


def test_a_bundle_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(BundleError, match="cannot write"):
        write_bundle(tmp_path / "missing" / "tiny", MANIFEST, {"model.onnx": b""})
    assert not list(tmp_path.iterdir())


def test_the_bundle_before_comes_back_when_its_successor_cannot_take_its_name(bundle, monkeypatch):
    rename = Path.rename

    def refuse(path, target):
        if path.name == "new":
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(BundleError, match="No space left"):
        write_bundle(bundle.source, MANIFEST, {"model.onnx": graph(scale=2)})
    assert load_bundle(bundle.source) == bundle


@pytest.mark.parametrize("name", ["../a", "/a", "a/../../b", "C:\\a", "", "."])
def test_a_weight_file_stays_inside_the_bundle(name):
    with pytest.raises(ValidationError, match="inside the bundle"):
        WeightFile(file=name, sha256="")


def test_a_manifest_cannot_be_changed():
    with pytest.raises(ValidationError):
        MANIFEST.mpp = 1.0
    assert isinstance(MANIFEST, Manifest)


def _panel(*names, **changes):
    return {"panel": {"channels": [{"name": name} | changes for name in names], "marker": None}}


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/x",
        "a/b",
        "a\\b",
        "C:x",
        "",
        ".",
        "..",
        "a.b",
        " a",
        "a b",
        "1a",
        "_a",
        "-a",
        "a\n",
        "\u00e4",
        "a\x00",
        "x" * 65,
    ],
)
def test_a_channel_name_that_is_no_identifier_is_refused(bundle, name):
    with pytest.raises(BundleError, match="must be a letter, then letters, digits"):
        load_bundle(_edit(bundle, **_panel(name)))


@pytest.mark.parametrize("name", ["overlay", "Overlay", "segmentation", "density", "positive_density", "cells", "analysis"])
def test_a_channel_cannot_take_the_name_of_another_file_of_a_result(bundle, name):
    with pytest.raises(BundleError, match="is that of another file of a result"):
        load_bundle(_edit(bundle, **_panel(name)))


def test_the_segmentation_may_have_its_name(bundle):
    manifest = load_bundle(_edit(bundle, **_panel("segmentation", role="segmentation", planes=3))).manifest
    assert manifest.panel.channels[0].name == "segmentation"


@pytest.mark.parametrize("name", ["con", "NUL", "aux", "COM1", "lpt9"])
def test_a_channel_cannot_be_a_device_of_windows(bundle, name):
    with pytest.raises(BundleError, match="is a device on Windows"):
        load_bundle(_edit(bundle, **_panel(name)))


def test_channels_that_differ_in_upper_case_alone_are_refused(bundle):
    with pytest.raises(BundleError, match="more than upper and lower case"):
        load_bundle(_edit(bundle, **_panel("dapi", "DAPI")))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (_panel("a", planes=7), "1 plane or 3, got 7"),
        (_panel("a", title="\x1b[2J"), "printable"),
        (_panel("a", title="x" * 201), "at most 200"),
        (_panel("a", colour=[0, 0, 256]), "from 0 to 255"),
        (_panel("a", reach_um=1e9), "from 0 to 10"),
        (_panel(*(f"c{number}" for number in range(65))), "at most 64 channels"),
        ({"name": "a\x1b[31m"}, "name: .*must be printable"),
        ({"name": "x" * 1001}, "name: .*at most 1000"),
        ({"licence": "a\r\nb"}, "licence: .*must be printable"),
        ({"training_data": ["\x07"]}, "training_data.0: .*must be printable"),
        ({"tile_px": 1_000_000}, "tile_px: .*8192"),
        ({"mpp": 1e-9}, "mpp: "),
        ({"mpp": float("nan")}, "mpp: "),
        ({"normalisation": {"std": [0, 0, 0]}}, "normalisation.std.0: "),
        ({"normalisation": {"mean": [0, 0, float("nan")]}}, "normalisation.mean.2: "),
        ({"expected_nuclear_area_um2": [90, 10]}, "must be a range"),
        ({"expected_nuclear_area_um2": [0, float("inf")]}, "expected_nuclear_area_um2.1: "),
        ({"weights": [{"file": "a.onnx", "sha256": ""}, {"file": "A.onnx", "sha256": ""}]}, "weight files must differ"),
        ({"weights": [{"file": "manifest.json", "sha256": ""}]}, "cannot be the manifest"),
        ({"weights": [{"file": "con.onnx", "sha256": ""}]}, "inside the bundle"),
        ({"weights": [{"file": f"{number}.onnx", "sha256": ""} for number in range(65)]}, "weights: .*64"),
    ],
)
def test_what_a_manifest_may_claim_has_limits(bundle, changes, message):
    with pytest.raises(BundleError, match=f"(?s){message}"):
        load_bundle(_edit(bundle, **changes))


def test_of_a_thousand_faults_twenty_are_told(bundle):
    with pytest.raises(BundleError) as caught:
        load_bundle(_edit(bundle, training_data=[1] * 900))
    assert len(str(caught.value).splitlines()) == 21


def test_a_manifest_nested_without_end_is_refused(bundle):
    (bundle.source / "manifest.json").write_text("[" * 100_000)
    with pytest.raises(BundleError, match="not JSON"):
        load_bundle(bundle.source)


def test_a_manifest_that_is_too_large_is_refused_before_it_is_read(bundle, monkeypatch):
    monkeypatch.setattr("counterstain.inference.bundle_files.MAX_MANIFEST_BYTES", 100)
    with pytest.raises(BundleError, match=r"manifest\.json of the bundle has [\d,]+ bytes, allowed are 100"):
        load_bundle(bundle.source)


def test_files_have_a_limit_together(bundle, monkeypatch):
    monkeypatch.setattr("counterstain.inference.bundle_files.MAX_BUNDLE_BYTES", 1200)
    with pytest.raises(BundleError, match="more than 1,200 bytes together"):
        load_bundle(bundle.source)


def test_a_small_zip_of_something_huge_is_refused_before_it_is_inflated(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", b" " * 4_000_000)
    with pytest.raises(BundleError, match=r"would unpack from [\d,]+ to 4,000,000 bytes, more than 100 times"):
        load_bundle(tmp_path / "a.zip")


def test_a_zip_with_two_manifests_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("manifest.json", "{}")
        archive.writestr("manifest.json", "[]")
    with pytest.raises(BundleError, match="more than once"):
        load_bundle(tmp_path / "a.zip")


def test_a_zip_in_a_rare_compression_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("manifest.json", "{}")
    with pytest.raises(BundleError, match="make the zip with deflate"):
        load_bundle(tmp_path / "a.zip")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "pipe"])
def test_a_pipe_is_never_waited_for(bundle, name):
    path = bundle.source / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with pytest.raises(BundleError, match=f"{name} is not a plain file"):
        load_bundle(path if name == "pipe" else bundle.source)


def test_names_of_files_are_reserved_that_results_have():
    stems = {name.split(".")[0] for form in FORMATS.values() for name in form.writers(Panel(channels=()))}
    assert stems <= RESERVED_NAMES


def test_a_bundle_that_names_no_stains_was_trained_for_hematoxylin_and_dab(bundle):
    assert load_bundle(_edit(bundle, stains=None)).manifest.stains == ("hematoxylin", "DAB")


@pytest.mark.parametrize("stains", [[], ["brown"], ["DAB", "ink"], ["DAB"] * 99])
def test_a_stain_that_has_no_name_here_is_refused(bundle, stains):
    with pytest.raises(BundleError, match="stains"):
        load_bundle(_edit(bundle, stains=stains))


def test_a_folder_that_is_no_bundle_is_never_replaced_by_one(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text").write_text("")
    with pytest.raises(BundleError, match="is not a bundle; choose another name"):
        write_bundle(tmp_path / "thesis", MANIFEST, {"model.onnx": b""})
    assert (tmp_path / "thesis" / "text").exists()
