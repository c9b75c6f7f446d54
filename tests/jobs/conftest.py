"""Images small enough to be analysed in no time."""

import pytest
from drawn import nuclei
from PIL import Image


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current folder."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def good(folder):
    """One good image in the current folder."""
    Image.fromarray(nuclei()).save(folder / "good.png")
    return folder / "good.png"
