"""Read the folders of real images that training knows.

Scenes: ``images/NAME.png`` (H&E: ``.jpg``) with instance maps ``labels/NAME.png``. Strips: co-registered modalities side by
side, 3072 x 512, as DeepLIIF publishes them. Polygons: ``NAME.jpg`` with QuPath polygons ``NAME.geojson``.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from skimage.measure import label as connected_regions
from skimage.segmentation import expand_labels

from counterstain.errors import TrainingError
from counterstain.images import optical_density
from counterstain.polygons.geojson import features_of, polygons_of
from counterstain.training.datasets.crops import Annotated
from counterstain.training.synthesis.scenes import (
    Scene,
    counterstained_scene,
    fluorescence_density,
    tidy_labels,
    tissue_density,
    unlabelled_nuclei,
)

STRIP_PANELS = ("image", "hematoxylin", "dapi", "lap2", "marker", "segmentation")

_BOUNDARY_HALF_WIDTH_PX = 1
"""A nucleus is its published interior grown by this much, the part of the published boundary of 3 px that belongs to it.

``class_image`` draws its line of 3 px on the edge of that nucleus, so what a network infers as interior ends 2 px (0.5 um)
inside the nucleus. The decoder lets nuclei reach those 0.5 um beyond the inferred interior and gives the nucleus back; drawn
less its outermost pixel, as outputs draw it, it is the published interior.
"""


def read_scenes(folder: Path) -> dict[str, Scene]:
    """Return the scenes of a folder of images with instance maps, by file stem; grey images are taken as fluorescence."""
    scenes = {}
    for path in _listed(folder / "images", "*.png"):
        labels = np.asarray(_open_image(folder / "labels" / path.name)).astype(np.int32)
        image = np.asarray(_open_image(path))
        if labels.shape != image.shape[:2]:
            raise TrainingError(f"{path} has {image.shape[:2]} px and its labels {labels.shape}; they must be of one size")
        density = tissue_density(image, labels) if image.ndim == 3 else fluorescence_density(image, labels)
        scenes[path.stem] = Scene(density=density, labels=labels)
    return scenes


def read_counterstained(folder: Path, *, mpp: float) -> dict[str, Scene]:
    """Return the scenes of a folder of H&E tiles ``images/NAME.jpg`` with instance maps ``labels/NAME.png``, by file stem.

    Planes are kept in half precision, as there are hundreds of tiles and each process that renders has its own.

    Parameters
    ----------
    mpp : micrometres per pixel of the tiles.
    """
    scenes = {}
    for path in _listed(folder / "images", "*.jpg"):
        with Image.open(path) as opened, Image.open(folder / "labels" / f"{path.stem}.png") as outlined:
            labels = np.asarray(outlined).astype(np.int32)
            scene = counterstained_scene(np.asarray(opened.convert("RGB")), labels, mpp=mpp)
        matrix = None if scene.matrix is None else scene.matrix.astype(np.float16)
        scenes[path.stem] = replace(scene, density=scene.density.astype(np.float16), matrix=matrix)
    return scenes


def read_strips(folder: Path) -> list[Annotated]:
    """Return the co-registered sets of a folder of strips."""
    return [_read_strip(path) for path in _listed(folder, "*.png")]


def _read_strip(path: Path) -> Annotated:
    strip = np.asarray(_open_image(path).convert("RGB"))
    height, width = strip.shape[:2]
    if width != height * len(STRIP_PANELS):
        raise TrainingError(f"{path}: expected {len(STRIP_PANELS)} square panels side by side, got {width} x {height} px")
    panels = dict(zip(STRIP_PANELS, np.split(strip, len(STRIP_PANELS), axis=1), strict=True))
    return annotate(path.stem, panels, scale=(0.75, 1.4))


def annotate(name: str, images: Mapping[str, NDArray[np.uint8]], *, scale: tuple[float, float] = (1.0, 1.0)) -> Annotated:
    """Find the nuclei in the segmentation of a co-registered set.

    Parameters
    ----------
    images : (h, w, 3) uint8 each; ``image``, ``segmentation`` (red positive, blue negative, green boundary, as DeepLIIF
        publishes them) and any modalities, of which those in fluorescence become grey. A nucleus is positive when at least
        half of its interior is.
    scale : range of enlargement of patches.
    """
    segmentation = images["segmentation"].astype(int)
    interior = (segmentation[..., 0] + segmentation[..., 2] > 120) & (segmentation[..., 1] <= 80)
    interiors = tidy_labels(connected_regions(interior, connectivity=1))
    grey = {key: images[key].max(axis=2) for key in ("dapi", "lap2", "marker") if key in images}
    stained = {key: np.ascontiguousarray(images[key]) for key in ("hematoxylin",) if key in images}
    return Annotated(
        name=name,
        image=np.ascontiguousarray(images["image"]),
        labels=expand_labels(interiors, _BOUNDARY_HALF_WIDTH_PX).astype(np.int32),
        positive=_majority(interiors, segmentation[..., 0] >= segmentation[..., 2]),
        unknown=np.zeros(interiors.shape, np.bool_),
        modalities=stained | grey,
        scale=scale,
    )


def _majority(interiors: NDArray[np.int32], votes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return (n + 1,) bool: at least half of the pixels of a label vote for it; entry 0 is False."""
    for_positive = np.bincount(interiors.ravel(), votes.ravel())
    return (for_positive * 2 >= np.bincount(interiors.ravel())) & (np.arange(len(for_positive)) > 0)


def read_polygons(folder: Path, *, pattern: str, shrink: float) -> list[Annotated]:
    """Return the fields of a folder of camera images with polygons of class ``Positive`` or ``Negative``.

    Parameters
    ----------
    shrink : factor from image pixels to pixels of 0.25 um/px.
    """
    return [_read_field(path, shrink) for path in _listed(folder, pattern)]


def _read_field(path: Path, shrink: float) -> Annotated:
    # at twice the final resolution patches can be cut at other scales without becoming soft
    factor = min(1.0, 2 * shrink)
    full = _open_image(path).convert("RGB")
    image = np.asarray(full.resize((round(full.width * factor), round(full.height * factor)), Image.Resampling.BOX))
    canvas, positive = Image.new("I", (image.shape[1], image.shape[0])), [False]
    draw = ImageDraw.Draw(canvas)
    for ring, is_positive in _read_outlines(path.with_suffix(".geojson")):
        draw.polygon([(x * factor, y * factor) for y, x in ring.tolist()], fill=len(positive))
        positive.append(is_positive)
    labels = np.asarray(canvas).astype(np.int32)
    return Annotated(
        name=path.stem,
        image=image,
        labels=labels,
        positive=np.array(positive),
        unknown=unlabelled_nuclei(optical_density(image).mean(axis=2), labels),
        modalities={},
        scale=(0.8 * shrink / factor, 1.25 * shrink / factor),
    )


def _read_outlines(path: Path) -> list[tuple[NDArray[np.float64], bool]]:
    """Return the outer ring of every nucleus of a field, and whether its class is ``Positive``."""
    try:
        features = features_of(json.loads(path.read_text(encoding="utf-8")))
        if not features:
            raise ValueError("it is empty")
        return [
            (polygons_of(feature["geometry"])[0][0], feature["properties"]["classification"]["name"] == "Positive")
            for feature in features
        ]
    except OSError as error:
        raise TrainingError(f"cannot read the outlines {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise TrainingError(f"{path} holds no outlines with a class each, as QuPath exports them: {error!r}") from error


def _open_image(path: Path) -> Image.Image:
    """Return an image that was decoded to its end.

    Raises
    ------
    TrainingError
        It is missing or damaged.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except FileNotFoundError as error:
        raise TrainingError(f"the image {path} is missing") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise TrainingError(f"{path} is not a readable image: {error}") from error


def _listed(folder: Path, pattern: str) -> list[Path]:
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise TrainingError(f"expected files {pattern} in {folder}, found none; set data.root to the folder of real images")
    return paths
