"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of real images, or skip the test where it is not there."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("COUNTERSTAIN_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"needs the real images: set COUNTERSTAIN_DATA or put them in {default}")
    return folder


@pytest.fixture(scope="session")
def golden_dir(data_dir: Path) -> Path:
    """Return the folder of what the published DeepLIIF software made of random weights, or skip the test."""
    folder = data_dir.parent / "deepliif" / "golden"
    if not folder.is_dir():
        pytest.skip(f"needs the results of the published software in {folder}, beside the real images")
    return folder
