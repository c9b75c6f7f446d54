"""Images whose nuclei are known: what is in the reference, as classes of pixels and as centres of nuclei."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.draw import polygon

from counterstain.geometry import DEFAULT_MPP
from counterstain.metrics.pixels import BACKGROUND, NEGATIVE, POSITIVE
from counterstain.outputs.images.drawing import outline_pixels

CLASSES = (NEGATIVE, POSITIVE)

NUCLEAR_SUM, BOUNDARY_GREEN = 120, 80
"""A pixel is nuclear when red + blue is above the first and green is not above the second: the published rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nuclei:
    """Centres and classes."""

    centres: NDArray[np.float64]
    """(n, 2) row, col in pixels of 0.25 um."""
    is_positive: NDArray[np.bool_]

    @property
    def positive_share(self) -> float:
        """Share of positive nuclei in [0, 1]; NaN without a nucleus."""
        return float(self.is_positive.mean()) if len(self.is_positive) else float("nan")

    def centres_of(self, number: int | None) -> NDArray[np.float64]:
        """Return the centres of a class; of all nuclei for None."""
        return self.centres if number is None else self.centres[self.is_positive == (number == POSITIVE)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One image and what is known about it."""

    image: Path
    mpp: float
    """Micrometres per pixel of the image."""
    classes: NDArray[np.int64]
    """(h, w) at 0.25 um per pixel: 0 background, 1 negative, 2 positive."""
    nuclei: Nuclei


def deepliif_references(folder: Path) -> list[Reference]:
    """Return the tiles of ``ihc`` with their manual segmentation."""
    references = []
    for image in sorted((folder / "ihc").glob("*.png")):
        classes = class_image(folder / "groundtruth" / image.name)
        references.append(Reference(image=image, mpp=DEFAULT_MPP, classes=classes, nuclei=nuclei_of_classes(classes)))
    return references


def class_image(path: Path) -> NDArray[np.int64]:
    """Read a segmentation image, red positive, blue negative, green boundary, as (h, w) classes."""
    with Image.open(path) as image:
        red, green, blue = np.moveaxis(np.asarray(image.convert("RGB"), dtype=np.int64), -1, 0)
    nuclear = (red + blue > NUCLEAR_SUM) & (green <= BOUNDARY_GREEN)
    return np.where(nuclear, np.where(red >= blue, POSITIVE, NEGATIVE), BACKGROUND)


def nuclei_of_classes(classes: NDArray[np.int64], *, min_px: int = 1) -> Nuclei:
    """Return the 8-connected pieces of at least ``min_px``; the class is that of most pixels, positive when equal."""
    labels, count = ndimage.label(classes > BACKGROUND, structure=np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    positive = np.bincount(labels.ravel(), weights=(classes == POSITIVE).ravel(), minlength=count + 1)[1:]
    centres = np.array(ndimage.center_of_mass(labels > 0, labels, range(1, count + 1))).reshape(-1, 2)
    keep = areas >= min_px
    return Nuclei(centres=centres[keep], is_positive=(2 * positive >= areas)[keep])


def point_references(folder: Path, *, mpp: float) -> list[tuple[Path, NDArray[np.float64]]]:
    """Return the tiles that have ``keypoints``, each with the (n, 2) row, col of its nuclei in pixels of 0.25 um.

    Parameters
    ----------
    mpp : micrometres per pixel of the tiles.
    """
    references = []
    for points in sorted((folder / "keypoints").glob("*.csv")):
        with points.open(newline="", encoding="utf-8") as file:
            centres = np.array([(float(row["y"]), float(row["x"])) for row in csv.DictReader(file)])
        references.append((folder / "tiles" / f"{points.stem}.png", centres.reshape(-1, 2) * (mpp / DEFAULT_MPP)))
    return references


def polygon_reference(image: Path, *, mpp: float) -> Reference:
    """Read the GeoJSON polygons beside an image; of two that overlap the later one wins, as in ``segmentation.png``."""
    features = json.loads(image.with_suffix(".geojson").read_text(encoding="utf-8"))["features"]
    is_positive = np.array([feature["properties"]["classification"]["name"] == "Positive" for feature in features])
    scale = mpp / DEFAULT_MPP
    with Image.open(image) as opened:
        shape = (round(opened.height * scale), round(opened.width * scale))
    labels = np.zeros(shape, np.int32)
    for number, feature in enumerate(features, start=1):
        cols, rows = np.array(feature["geometry"]["coordinates"][0][:-1]).T * scale - 0.5
        labels[polygon(rows, cols, shape)] = number
    return Reference(image=image, mpp=mpp, classes=_drawn_classes(labels, is_positive), nuclei=_labelled(labels, is_positive))


def _drawn_classes(labels: NDArray[np.int32], is_positive: NDArray[np.bool_]) -> NDArray[np.int64]:
    classes = np.concatenate([[BACKGROUND], np.where(is_positive, POSITIVE, NEGATIVE)])[labels]
    classes[outline_pixels(labels)] = BACKGROUND
    return classes


def _labelled(labels: NDArray[np.int32], is_positive: NDArray[np.bool_]) -> Nuclei:
    numbers = np.unique(labels[labels > 0])  # a polygon that others cover has no pixel left
    centres = np.array(ndimage.center_of_mass(labels > 0, labels, numbers)).reshape(-1, 2)
    return Nuclei(centres=centres, is_positive=is_positive[numbers - 1])
