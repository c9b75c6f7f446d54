import json
import zipfile
from pathlib import Path

import pytest
from pydantic import ValidationError

from counterstain.errors import BundleError
from counterstain.inference.bundle import Manifest, WeightFile, load_bundle, write_bundle

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
    monkeypatch.setattr("counterstain.inference.bundle.MAX_FILE_BYTES", 10)
    with pytest.raises(BundleError, match="unpacks to more than 10 bytes"):
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
