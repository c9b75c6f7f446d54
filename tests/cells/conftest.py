from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def golden_dir(data_dir: Path) -> Path:
    """Return the folder of results of the published software, beside the real images, or skip."""
    folder = data_dir.parent / "deepliif" / "golden" / "post"
    if not folder.is_dir():
        pytest.skip(f"needs the results of the published software in {folder}")
    return folder


@pytest.fixture(scope="session")
def rgb():
    """Return a function that reads an image file as (h, w, 3) uint8."""
    return lambda path: np.asarray(Image.open(path).convert("RGB"))
