"""Make one picture of a result folder: python examples/montage.py [RESULT_FOLDER [PICTURE]].

Without arguments it takes what ``counterstain demo`` writes of the drawn field, and makes ``montage.png``. The picture of the
README is made with it.
"""

import sys
from pathlib import Path

from PIL import Image

PANELS = ("hematoxylin", "dapi", "lap2", "marker", "segmentation", "overlay")
CROP_PX, PANEL_PX, GAP_PX = 512, 272, 6


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


def main(folder: str = "counterstain-demo/synthetic", picture: str = "montage.png") -> None:
    """Make the picture, or say what is missing."""
    missing = [name for name in PANELS if not (Path(folder) / f"{name}.png").is_file()]
    if missing:
        sys.exit(
            f"{folder} holds no {', '.join(f'{name}.png' for name in missing)}; run counterstain demo, or name a result folder"
        )
    montage(Path(folder)).save(picture, optimize=True)
    sys.stdout.write(f"wrote {picture}\n")


if __name__ == "__main__":
    main(*sys.argv[1:3])
