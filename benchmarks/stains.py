"""How often the check of stains errs: python benchmarks/stains.py [--data DIR]. The tables go to results/stains.md."""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from statistics import median

import numpy as np
from reporting import table, write_results
from stain_images import (
    CHROMOGENS,
    METHYL_GREEN,
    Change,
    Picture,
    Pixels,
    blurred,
    clean_pictures,
    compressed,
    foreign_pictures,
    grey,
    lit,
    recoloured,
    stronger,
)

from counterstain.geometry import Box
from counterstain.inference.names import load_backend
from counterstain.pipeline import analyze
from counterstain.slides.base import size_at
from counterstain.tiling.glass import find_tissue
from counterstain.tiling.stain_sample import SAMPLE_MPP, stains_of
from counterstain.tiling.stains import HEMATOXYLIN_AND_DAB, Verdict, find_stains

SIDES_PX = (256, 512, 1024)
WINDOWS_UM = (64, 96, 128, 192)
HELD_OUT = "deepliif-bc4/ihc"
"""No limit was set on these."""

UNCHANGED: Change = lambda pixels: pixels  # noqa: E731
DISTURBANCES: dict[str, Change] = {
    "warm lamp": lit(1.0, 0.92, 0.75),
    "cold white balance": lit(0.85, 0.93, 1.0),
    "greenish": lit(0.92, 1.0, 0.9),
    "60 % of the light": lit(0.6, 0.6, 0.6),
    "stains x 0.6": stronger(0.6),
    "stains x 1.6": stronger(1.6),
    "JPEG, quality 30": compressed(30),
    "out of focus, 4 px": blurred(4),
}
OTHERS: dict[str, Change] = {"inverted": lambda pixels: 255 - pixels, "grey": grey}
VERDICTS: tuple[Verdict, ...] = ("known", "undetermined", "unknown", "not_bright_field")
HEADINGS = ("images", "as trained", "too little", "warned of", "refused")


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("COUNTERSTAIN_DATA", "../shared/data")))
    data = parser.parse_args().data
    pictures = [*clean_pictures(data)]
    crops = [crop for picture in pictures for crop in picture.crops(512)]
    parts = [
        (
            "Clean images in hematoxylin and DAB, whole and in up to four squares each: every warning and refusal is false.",
            clean_table(pictures),
        ),
        ("Windows everywhere in the same images, at 1 um per pixel, by half a side.", rows_of(window_rows(pictures))),
        ("The squares of 512 px, disturbed.", rows_of((name, verdicts(crops, c)) for name, c in DISTURBANCES.items())),
        (
            "Every second of them, all of which show DAB, with other stains: every one that is as trained is a miss.",
            rows_of(recoloured_rows(crops[::2])),
        ),
        ("Foreign images, and the squares inverted or grey.", rows_of(foreign_rows(data, crops))),
        (
            "Processor time; the slide is an image four times over, of which boxes are read. The check is the median of nine, "
            "the analysis one run.",
            cost_table(pictures),
        ),
    ]
    for text, shown in parts:
        sys.stdout.write(f"{text}\n\n{shown}\n\n")
    write_results("stains", "The check of stains", parts)


def verdicts(pictures: Iterable[Picture], change: Change = UNCHANGED) -> Counter[Verdict]:
    """Return how many of the images got which verdict, once changed."""
    found: Counter[Verdict] = Counter()
    for picture in pictures:
        slide = picture.slide(change)
        found[stains_of(slide, find_tissue(slide), HEMATOXYLIN_AND_DAB).verdict] += 1
    return found


def rows_of(rows: Iterable[tuple[str, Counter[Verdict]]]) -> str:
    """Return a table of verdicts."""
    shown = [(name, str(found.total()), *(str(found[verdict]) for verdict in VERDICTS)) for name, found in rows]
    return table([("", *HEADINGS), *shown])


def clean_table(pictures: list[Picture]) -> str:
    """Return the verdicts by source and size."""
    rows = []
    for source, group in groupby(pictures, lambda picture: picture.source):
        members = [*group]
        label = f"{source} (held out)" if source == HELD_OUT else source
        rows.append((f"{label}, whole", verdicts(members)))
        rows.extend(
            (f"{label}, {side} px", verdicts(crop for each in members for crop in each.crops(side))) for side in SIDES_PX
        )
    return rows_of(rows)


def window_rows(pictures: list[Picture]) -> Iterable[tuple[str, Counter[Verdict]]]:
    """Yield the verdicts of overlapping windows, by their side."""
    for label, members in (
        ("", [each for each in pictures if each.source != HELD_OUT]),
        (" (held out)", [each for each in pictures if each.source == HELD_OUT]),
    ):
        samples = [(slide := each.slide(UNCHANGED)).read(Box.whole(size_at(slide, SAMPLE_MPP)), SAMPLE_MPP) for each in members]
        for side in WINDOWS_UM:
            yield (
                f"{side} um{label}",
                Counter(find_stains(window).verdict for each in samples for window in windows(each, side)),
            )


def windows(pixels: Pixels, side: int) -> Iterable[Pixels]:
    """Yield the squares of a side, one every half a side."""
    height, width = pixels.shape[:2]
    for top in range(0, max(1, height - side + 1), side // 2):
        for left in range(0, max(1, width - side + 1), side // 2):
            yield pixels[top : top + side, left : left + side]


def recoloured_rows(crops: list[Picture]) -> Iterable[tuple[str, Counter[Verdict]]]:
    """Yield the verdicts of each chromogen in three strengths, and of methyl green."""
    yield "hematoxylin and DAB again", verdicts(crops, recoloured())
    for name, vector in CHROMOGENS.items():
        for strength in (0.6, 1.0, 1.6):
            yield f"{name} x {strength:g}", verdicts(crops, recoloured(vector, strength=strength))
    for name, vector in METHYL_GREEN.items():
        yield f"DAB on {name}", verdicts(crops, recoloured(counterstain=vector))
        yield f"AEC on {name}", verdicts(crops, recoloured(CHROMOGENS["AEC"], counterstain=vector))


def foreign_rows(data: Path, crops: list[Picture]) -> Iterable[tuple[str, Counter[Verdict]]]:
    """Yield the verdicts of images that are no IHC in hematoxylin and DAB."""
    for source, group in groupby(foreign_pictures(data), lambda picture: picture.source):
        yield source, verdicts(group)
    for name, change in OTHERS.items():
        yield name, verdicts(crops, change)


def cost_table(pictures: list[Picture]) -> str:
    """Return the processor time of the check, reading included, beside that of an analysis."""
    backend, rows = load_backend("default", threads=1), []
    one = next(each for each in pictures if each.source == "openslide-os2")
    large = replace(one, pixels=np.tile(one.pixels, (2, 2, 1)))
    for label, part in (("one tile of 512 px", next(one.crops(512))), ("an image", one), ("a slide", large)):
        slide = part.slide(UNCHANGED)
        tissue = find_tissue(slide)
        check = median(_cpu_s(lambda: stains_of(slide, tissue, HEMATOXYLIN_AND_DAB)) for _ in range(9))  # noqa: B023
        whole = _cpu_s(lambda: analyze(slide, backend))  # noqa: B023
        size = f"{label}, {slide.size.width} x {slide.size.height} px"
        rows.append((size, f"{1000 * check:.0f}", f"{1000 * whole:.0f}", f"{100 * check / whole:.1f}"))
    return table([("", "check, ms", "analysis, ms", "%"), *rows])


def _cpu_s(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


if __name__ == "__main__":
    main()
