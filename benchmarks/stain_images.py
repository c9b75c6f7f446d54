"""Images whose stains are known: clean IHC, foreign images, and clean ones that are recoloured, relit or damaged."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage.data
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from counterstain.images import DAB, HEMATOXYLIN, Stain, optical_density, unmix
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution

Pixels = NDArray[np.uint8]
Change = Callable[[Pixels], Pixels]

CHROMOGENS: dict[str, Stain] = {
    "AEC": (0.27, 0.68, 0.68),
    "Fast Red": (0.21, 0.85, 0.48),
    "magenta": (0.21, 0.91, 0.35),
    "Vulcan Red": (0.13, 0.83, 0.54),
    "HRP Green": (0.80, 0.37, 0.47),
    "black (SK-4600)": (0.58, 0.58, 0.58),
    "nickel DAB": (0.54, 0.58, 0.61),
    "Vector Blue": (0.84, 0.51, 0.18),
}
"""Optical densities in red, green and blue: from Ruifrok and Johnston (2001) and ImageJ where they have them, else by eye."""

METHYL_GREEN: dict[str, Stain] = {"methyl green": (0.98, 0.14, 0.13), "methyl green, bluish": (0.87, 0.40, 0.29)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One image."""

    source: str
    name: str
    pixels: Pixels
    mpp: float

    def crops(self, side: int) -> Iterator["Picture"]:
        """Yield up to four squares of a side in pixels of 0.25 um, spread over the image; the whole where it is smaller."""
        height, width = self.pixels.shape[:2]
        side_px = min(round(side * 0.25 / self.mpp), height, width)
        for top in np.linspace(0, height - side_px, min(2, height // side_px)).astype(int):
            for left in np.linspace(0, width - side_px, min(2, width // side_px)).astype(int):
                part = self.pixels[top : top + side_px, left : left + side_px]
                yield Picture(source=self.source, name=self.name, pixels=part, mpp=self.mpp)

    def slide(self, change: Change) -> ArraySlide:
        """Return the image, changed, as a slide."""
        return ArraySlide(change(self.pixels), name=self.name, resolution=Resolution(self.mpp, "option"))


def clean_pictures(data: Path) -> Iterator[Picture]:
    """Yield every IHC image in hematoxylin and DAB."""
    strips = {"deepliif-train"}
    for source, pattern, mpp in (
        ("deepliif-roi", "*.png", 0.25),
        ("deepliif-train", "*.png", 0.25),
        ("glioma-ki67", "*.jpg", 0.1),
        ("endonuke-er-pr/tiles", "*", 0.29),
        ("unlabelled-ihc", "*.png", 0.25),
        ("deepliif-bc4/ihc", "*.png", 0.25),
    ):
        for picture in _folder(data, source, pattern, mpp):
            pixels = picture.pixels[:, : picture.pixels.shape[0]] if source in strips else picture.pixels
            yield Picture(source=source, name=picture.name, pixels=pixels, mpp=mpp)
    for name, mpp in (("OS-2-ndpi", 0.2271), ("OS-2-vsi", 0.3461)):
        yield Picture(source="openslide-os2", name=name, pixels=_tiff(data / "openslide-os2" / f"{name}.ome.tif"), mpp=mpp)
    yield Picture(source="scikit-image", name="ihc", pixels=skimage.data.immunohistochemistry(), mpp=0.5)


def foreign_pictures(data: Path) -> Iterator[Picture]:
    """Yield H&E, purple and fluorescence images; of the largest set every fifth."""
    yield from [*_folder(data, "nuinsseg/images", "*.jpg", 0.2)][::5]
    yield from _folder(data, "tnbc/images", "*.jpg", 0.25)
    yield Picture(source="OS-1", name="OS-1", pixels=_tiff(data / "openslide-os2" / "OS-1-detail.ome.tif"), mpp=0.25)
    yield from _folder(data, "dsb2018/tissue/images", "*.png", 0.25)
    yield from _folder(data, "dsb2018/fluorescence/images", "*.png", 0.25)


def _folder(data: Path, source: str, pattern: str, mpp: float) -> Iterator[Picture]:
    for path in sorted((data / source).glob(pattern)):
        with Image.open(path) as image:
            yield Picture(source=source, name=path.stem, pixels=np.asarray(image.convert("RGB")), mpp=mpp)


def _tiff(path: Path) -> Pixels:
    pixels = np.asarray(tifffile.imread(path))
    return np.ascontiguousarray(pixels if pixels.shape[-1] == 3 else np.moveaxis(pixels, 0, -1))


def recoloured(chromogen: Stain = DAB, counterstain: Stain = HEMATOXYLIN, strength: float = 1.0) -> Change:
    """Return what unmixes hematoxylin and DAB and stains the tissue with others; what is neither of the two stays as it is."""
    vectors = [np.asarray(vector) / np.linalg.norm(vector) for vector in (HEMATOXYLIN, DAB, counterstain, chromogen)]

    def change(pixels: Pixels) -> Pixels:
        amounts = unmix(pixels)
        rest = optical_density(pixels) - amounts @ np.stack(vectors[:2]).astype(np.float32)
        return from_density(rest + (amounts * (1, strength)) @ np.stack(vectors[2:]))

    return change


def from_density(density: NDArray[np.floating]) -> Pixels:
    """Return the pixels of an optical density of any shape."""
    return np.asarray(np.clip(255 * 10.0**-density, 0, 255).round(), np.uint8)


def stronger(factor: float) -> Change:
    """Return what makes both stains so many times as strong, on the same background."""

    def change(pixels: Pixels) -> Pixels:
        density = optical_density(pixels)
        glass = np.quantile(density, 0.02, axis=(0, 1))
        return from_density(glass + (density - glass) * factor)

    return change


def lit(red: float, green: float, blue: float) -> Change:
    """Return what multiplies each channel: the colour of the lamp, or the white balance."""
    return lambda pixels: np.asarray(np.clip(pixels * np.array([red, green, blue]), 0, 255), np.uint8)


def compressed(quality: int) -> Change:
    """Return what JPEG of a quality leaves."""

    def change(pixels: Pixels) -> Pixels:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
        return np.asarray(Image.open(stream))

    return change


def blurred(sigma_px: float) -> Change:
    """Return what puts an image out of focus."""
    return lambda pixels: np.asarray(ndimage.gaussian_filter(pixels, (sigma_px, sigma_px, 0)))


def grey(pixels: Pixels) -> Pixels:
    """Return an image without colours."""
    return np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))
