"""How right are the counts: python benchmarks/accuracy.py [--bundle NAME_OR_PATH]... [--data FOLDER] [--no-save].

Every model runs with all settings at their defaults. The segmentation image that ``analyze`` writes is compared pixel by pixel
and the cells table nucleus by nucleus with the reference. Nothing may be trained or tuned on ``deepliif-bc4``.
"""

import argparse
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from references import (
    CLASSES,
    Nuclei,
    Reference,
    class_image,
    deepliif_references,
    nuclei_of_classes,
    point_references,
    polygon_reference,
)
from reporting import table, write_results

from counterstain.analysis import Analysis
from counterstain.inference.backend import Backend
from counterstain.inference.names import load_backend
from counterstain.metrics.instances import detection_scores, match_points
from counterstain.metrics.pixels import NEGATIVE, POSITIVE, confusion_matrix, pixel_scores
from counterstain.outputs.images.pictures import write_segmentation
from counterstain.pipeline import analyze
from counterstain.slides.opening import open_slide

MATCH_PX = 10.0
"""Largest distance of a matched pair, in pixels of 0.25 um."""

ENDONUKE_MPP = 0.29

PUBLISHED_MIN_PX = 30
"""Smaller pieces of the published segmentation are not taken for nuclei."""

HEADINGS = (
    "model",
    "IoU-",
    "IoU+",
    "IoU",
    "Dice-",
    "Dice+",
    "Dice",
    "acc",
    "P-",
    "R-",
    "F1-",
    "P+",
    "R+",
    "F1+",
    "P",
    "R",
    "F1",
    "%+ err",
)
FOLDERS = ("deepliif-bc4", "glioma-ki67", "endonuke-er-pr", "openslide-os2")
SCANNERS = ("OS-2-ndpi.ome.tif", "OS-2-vsi.ome.tif")

BC4_TEXT = """\
DeepLIIF breast Ki-67 tiles (4 of 512 x 512). Means over the tiles, in per cent. "-" is negative, "+" positive; without a sign
the mean of both classes (pixels) or nuclei of any class. acc: mean over both classes of the one-against-rest pixel accuracy.
P, R, F1: nuclei matched one to one within 10 px. %+ err: absolute error of the percentage of positive nuclei. Reference
nuclei are the 8-connected pieces of the manual segmentation, their class that of most pixels; published nuclei are those of
the published segmentation of at least 30 px; a model's nuclei are its cells table and its pixels those of segmentation.png."""

GLIOMA_TEXT = """\
Glioma Ki-67, slide 3 (one camera field, taken as 0.1 um per pixel). The same numbers against outlined nuclei, which are drawn
with the boundary that segmentation.png has. Blurred nuclei are partly not outlined, so precision is a lower bound."""

ENDONUKE_TEXT = """\
EndoNuke, ER and PR in endometrium (3 tiles at 0.29 um per pixel, 273 points of nuclei without a class). P, R, F1 over all
points, matched one to one within 10 px."""

SCANNERS_TEXT = """\
One Ki-67 field on two scanners (OpenSlide OS-2): A ndpi at 0.2271, B vsi at 0.3461 um per pixel. Differences are B minus A:
of the number of nuclei in per cent of A, of the percentage of positive nuclei (index) in points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one model made of one image."""

    classes: NDArray[np.int64]
    """(h, w): 0 background, 1 negative, 2 positive."""
    nuclei: Nuclei


def main() -> None:
    """Print the tables and keep them."""
    options = _arguments()
    backends = {name: load_backend(name) for name in options.bundle}
    parts = [
        _bc4(options.data / "deepliif-bc4", backends),
        _glioma(options.data / "glioma-ki67", backends),
        _endonuke(options.data / "endonuke-er-pr", backends),
        _scanners(options.data / "openslide-os2", backends),
    ]
    for text, shown in parts:
        print(f"{text}\n\n{shown}\n")
    if options.save:
        print(f"kept in {write_results('accuracy', 'Accuracy', parts).name}")


def _arguments() -> argparse.Namespace:
    default = Path(os.environ.get("COUNTERSTAIN_DATA", Path(__file__).parents[2] / "shared" / "data"))
    parser = argparse.ArgumentParser(description="Measure accuracy on images with a reference.")
    parser.add_argument("--bundle", action="append", help="model to measure; repeat for more; default: classical and default")
    parser.add_argument("--data", type=Path, default=default, help="folder of the real images")
    parser.add_argument("--no-save", dest="save", action="store_false", help="write no results file")
    options = parser.parse_args()
    missing = [name for name in FOLDERS if not (options.data / name).is_dir()]
    if missing:
        parser.error(f"no {', '.join(missing)} in {options.data}; name the folder of the real images with --data")
    options.bundle = options.bundle or ["classical", "default"]
    return options


def _bc4(folder: Path, backends: dict[str, Backend]) -> tuple[str, str]:
    references = deepliif_references(folder)
    rows = [_row("published DeepLIIF", references, [_published(folder, reference) for reference in references])]
    rows += [
        _row(name, references, [found_by(backend, reference) for reference in references]) for name, backend in backends.items()
    ]
    return BC4_TEXT, table([HEADINGS, *rows])


def _glioma(folder: Path, backends: dict[str, Backend]) -> tuple[str, str]:
    references = [polygon_reference(path, mpp=0.1) for path in sorted(folder.glob("slide3-*.jpg"))]
    rows = [
        _row(name, references, [found_by(backend, reference) for reference in references]) for name, backend in backends.items()
    ]
    return GLIOMA_TEXT, table([HEADINGS, *rows])


def _endonuke(folder: Path, backends: dict[str, Backend]) -> tuple[str, str]:
    rows: list[tuple[str, ...]] = [("model", "points", "found", "P", "R", "F1")]
    for name, backend in backends.items():
        matched = truth = found = 0
        for image, centres in point_references(folder, mpp=ENDONUKE_MPP):
            with open_slide(image, mpp=ENDONUKE_MPP) as slide:
                analysis = analyze(slide, backend)
            nuclei = _nuclei(analysis, ENDONUKE_MPP / analysis.maps.mpp)
            matched += len(match_points(centres, nuclei.centres, MATCH_PX))
            truth, found = truth + len(centres), found + len(nuclei.centres)
        scores = detection_scores(matched=matched, truth=truth, found=found)
        shares = (f"{100 * share:.1f}" for share in (scores.precision, scores.recall, scores.f1))
        rows.append((name, str(truth), str(found), *shares))
    return ENDONUKE_TEXT, table(rows)


def _scanners(folder: Path, backends: dict[str, Backend]) -> tuple[str, str]:
    rows = [_scanner_row(name, folder, backend) for name, backend in backends.items()]
    headings = ("model", "nuclei A", "nuclei B", "difference %", "index A", "index B", "difference points")
    return SCANNERS_TEXT, table([headings, *rows])


def _row(name: str, references: list[Reference], found: list[Found]) -> tuple[str, ...]:
    per_image = [image_scores(reference, one) for reference, one in zip(references, found, strict=True)]
    return (name, *(f"{value:.1f}" for value in np.nanmean(per_image, axis=0)))


def image_scores(reference: Reference, found: Found) -> list[float]:
    """Return the numbers of one image in the order of ``HEADINGS``, in per cent."""
    pixels = pixel_scores(confusion_matrix(reference.classes, found.classes))
    iou, dice = pixels.iou[list(CLASSES)], pixels.dice[list(CLASSES)]
    accuracy = np.mean([np.mean((reference.classes == number) == (found.classes == number)) for number in CLASSES])
    error = abs(reference.nuclei.positive_share - found.nuclei.positive_share)
    ratios = [
        *iou,
        pixels.mean("iou"),
        *dice,
        pixels.mean("dice"),
        accuracy,
        *_detection(reference.nuclei, found.nuclei),
        error,
    ]
    return [100 * float(ratio) for ratio in ratios]


def _detection(truth: Nuclei, found: Nuclei) -> list[float]:
    """Return precision, recall and F1 of negative, positive and any nuclei."""
    ratios: list[float] = []
    for number in (NEGATIVE, POSITIVE, None):
        left, right = truth.centres_of(number), found.centres_of(number)
        matched = len(match_points(left, right, MATCH_PX))
        scores = detection_scores(matched=matched, truth=len(left), found=len(right))
        ratios += [scores.precision, scores.recall, scores.f1]
    return ratios


def _published(folder: Path, reference: Reference) -> Found:
    classes = class_image(folder / "published" / f"{reference.image.stem}_seg.png")
    return Found(classes=classes, nuclei=nuclei_of_classes(classes, min_px=PUBLISHED_MIN_PX))


def found_by(backend: Backend, reference: Reference) -> Found:
    """Return what a model makes of a reference image, with all settings at their defaults."""
    with open_slide(reference.image, mpp=reference.mpp) as slide:
        analysis = analyze(slide, backend)
        with tempfile.TemporaryDirectory() as folder:
            drawn = Path(folder) / "segmentation.png"
            write_segmentation(analysis, drawn)
            return Found(classes=class_image(drawn), nuclei=_nuclei(analysis, reference.mpp / analysis.maps.mpp))


def _nuclei(analysis: Analysis, scale: float) -> Nuclei:
    """Return the rows of the cells table, with centres in pixels of the maps."""
    cells = analysis.cells
    centres = (np.column_stack([cells["row_px"], cells["col_px"]]) + 0.5) * scale - 0.5
    return Nuclei(centres=centres, is_positive=cells["is_positive"])


def _scanner_row(name: str, folder: Path, backend: Backend) -> tuple[str, ...]:
    scores = []
    for file in SCANNERS:
        with open_slide(folder / file) as slide:
            scores.append(analyze(slide, backend).scores[0])
    (a, b), (index_a, index_b) = (score.counts["total"] for score in scores), (score.value for score in scores)
    change = f"{100 * (b - a) / a:+.1f}" if a else "-"
    return (name, str(a), str(b), change, f"{index_a:.1f}", f"{index_b:.1f}", f"{index_b - index_a:+.1f}")


if __name__ == "__main__":
    main()
