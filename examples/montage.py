"""Make one picture of a result folder: python examples/montage.py RESULT_FOLDER PICTURE.

The picture of the README is made with it, from the colon of ``counterstain demo``.
"""

import sys
from pathlib import Path

from PIL import Image

PANELS = ("hematoxylin", "dapi", "lap2", "marker", "segmentation", "overlay")
CROP_PX, PANEL_PX, GAP_PX = 512, 320, 6


def montage(folder: Path) -> Image.Image:
    """Return three columns and two rows of the same square from the middle of each image of the folder."""
    picture = Image.new("RGB", (3 * PANEL_PX + 2 * GAP_PX, 2 * PANEL_PX + GAP_PX), "white")
    for index, name in enumerate(PANELS):
        row, col = divmod(index, 3)
        picture.paste(_panel(folder / f"{name}.png"), (col * (PANEL_PX + GAP_PX), row * (PANEL_PX + GAP_PX)))
    return picture


def _panel(path: Path) -> Image.Image:
    with Image.open(path) as image:
        side = min(CROP_PX, *image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.convert("RGB").crop((left, top, left + side, top + side))
    return square.resize((PANEL_PX, PANEL_PX), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    montage(Path(sys.argv[1])).save(sys.argv[2], optimize=True)
