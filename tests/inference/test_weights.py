"""What was hashed is what is used; large files wait on disk, where only their user can reach them, and leave nothing behind."""

import gc
import hashlib
import io
import os
import stat
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from counterstain.errors import BundleError
from counterstain.inference import weights as module
from counterstain.inference.bundle import graph_of, load_bundle
from counterstain.inference.onnx import OnnxBackend
from counterstain.inference.weights import CheckedWeights, source_of

from .conftest import graph

BATCH = np.random.default_rng(0).random((1, 3, 8, 12), dtype=np.float32)


@pytest.fixture
def copies(tmp_path, monkeypatch):
    """Return the folder of temporary files; everything of 100 bytes and more is large."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(module, "LARGE_BYTES", 100)
    monkeypatch.setattr(module, "_BLOCK_BYTES", 64)
    return folder


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 164, 1000])
def test_content_and_checksum_are_those_of_the_file_whatever_its_size(copies, size):
    content = np.random.default_rng(size).bytes(size)
    weights = CheckedWeights()
    assert weights.take("a", io.BytesIO(content)) == hashlib.sha256(content).hexdigest()
    assert (dict(weights), len(weights), list(weights)) == ({"a": content}, 1, ["a"])
    assert isinstance(source_of(weights, "a"), bytes) == (size < 100)


def test_a_small_bundle_leaves_no_file_and_is_used_from_memory(bundle):
    assert graph_of(bundle) == graph()
    assert source_of({"a": b"b"}, "a") == b"b"


def test_changing_a_large_file_after_the_check_changes_nothing(bundle, copies):
    loaded = load_bundle(bundle.source)
    (bundle.source / "model.onnx").write_bytes(graph(scale=0))
    np.testing.assert_allclose(OnnxBackend(loaded, threads=1).run(BATCH)["copy"], BATCH, atol=1e-6)


def test_a_large_file_gives_the_numbers_of_a_small_one(bundle, copies):
    large = load_bundle(bundle.source)
    assert not isinstance(graph_of(large), bytes)
    in_memory, on_disk = (OnnxBackend(one, threads=1).run(BATCH) for one in (bundle, large))
    for name, values in in_memory.items():
        np.testing.assert_array_equal(on_disk[name], values)


def test_a_large_file_of_a_zip_is_the_one_of_the_folder(bundle, copies, tmp_path):
    with zipfile.ZipFile(tmp_path / "tiny.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("manifest.json", "model.onnx", "MODEL_CARD.md"):
            archive.write(bundle.source / name, name)
    zipped = load_bundle(tmp_path / "tiny.zip")
    assert zipped.weights == bundle.weights
    assert graph_of(zipped).parent.parent == copies


def test_a_damaged_large_file_is_refused_and_its_copy_removed(bundle, copies):
    (bundle.source / "model.onnx").write_bytes(graph(scale=2))
    with pytest.raises(BundleError, match=r"model\.onnx.*altered"):
        load_bundle(bundle.source)
    gc.collect()  # the traceback held it
    assert not list(copies.iterdir())


def test_the_copy_goes_with_the_bundle_and_the_backend_goes_on(bundle, copies):
    backend = OnnxBackend(load_bundle(bundle.source), threads=1)
    gc.collect()
    assert not list(copies.iterdir())
    np.testing.assert_allclose(backend.run(BATCH)["copy"], BATCH, atol=1e-6)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_nobody_else_may_enter_the_folder_of_a_copy(bundle, copies):
    loaded = load_bundle(bundle.source)
    assert stat.S_IMODE(graph_of(loaded).parent.stat().st_mode) == 0o700


def test_no_room_for_a_copy_says_so(bundle, copies, monkeypatch):
    copies.rmdir()
    with pytest.raises(BundleError, match=r"large weights are copied to .*temporary.* TMPDIR"):
        load_bundle(bundle.source)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_says_so(bundle, copies, monkeypatch):
    monkeypatch.setattr(module, "_open", lambda path: Path("/dev/full").open("wb", buffering=0))  # noqa: SIM115
    with pytest.raises(BundleError, match=r"No space left on device; set TMPDIR"):
        load_bundle(bundle.source)


ABANDON = """
import io, os, sys, tempfile
from counterstain.inference import weights
weights.LARGE_BYTES = 1
tempfile.tempdir = sys.argv[1]
held = weights.CheckedWeights()
held.take("a", io.BytesIO(b"large"))
print("ready", flush=True)
sys.stdin.read()
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")
def test_the_copy_of_a_killed_process_is_removed_by_the_next_and_one_in_use_is_not(bundle, copies):
    child = subprocess.Popen(
        [sys.executable, "-c", ABANDON, str(copies)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout.readline() == "ready\n"
        (theirs,) = copies.iterdir()
        ours = graph_of(load_bundle(bundle.source))
        assert theirs.exists()
        child.stdin.close()
        child.wait()
    assert theirs.exists()
    gc.collect()
    assert not isinstance(graph_of(load_bundle(bundle.source)), bytes)
    assert not theirs.exists()
    assert isinstance(ours, Path)


def test_where_files_cannot_be_locked_a_copy_of_a_day_ago_is_removed(copies, monkeypatch):
    monkeypatch.setattr(module, "_fcntl", lambda: None)
    old, new = (copies / f"counterstain-weights-{name}" for name in ("old", "new"))
    for folder in (old, new):
        folder.mkdir()
    os.utime(old, (0, 0))
    weights = CheckedWeights()
    weights.take("a", io.BytesIO(bytes(200)))
    assert (old.exists(), new.exists()) == (False, True)
