"""The two images of the demo, and their analysis."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import skimage.data

from counterstain.cli.run import show_run
from counterstain.errors import ELSEWHERE, OutputError
from counterstain.jobs.analyzing import analyze_slides
from counterstain.jobs.order import order_from
from counterstain.jobs.run_log import FILE_NAME as LOG_NAME
from counterstain.results.record import read_record
from counterstain.results.summary import FILE_NAME
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution
from counterstain.training.synthesis.render import synthetic_field

COLON_MPP = 0.5
"""Estimated from the size of the nuclei in scikit-image's picture, which states none."""

FIELD_MPP = 0.25
FIELD_SEED = 1
"""Of fifty, the one most like a section stained for Ki-67: blue nuclei, every fourth of them brown, and brown scraps."""
FIELD_PX = 512


def analyze_demo(out: Path, settings: Mapping[str, Any]) -> bool:
    """Analyse both images into ``out``, replacing the results of an earlier demo, and return whether anything failed.

    Raises
    ------
    OutputError
        The folder holds something else.
    """
    slides = demo_slides()
    check_earlier_demo(out, slides)
    order = order_from({**settings, "overwrite": True}, out)
    return show_run(lambda listener: analyze_slides(slides, order, listener), {**settings, "formats": ()})


def check_earlier_demo(out: Path, slides: Mapping[str, ArraySlide]) -> None:
    """Check that the folder is missing, empty or holds nothing but the results of an earlier demo.

    Raises
    ------
    OutputError
        It holds anything else.
    """
    sources = {slide.name: source.partition(",")[0] for source, slide in slides.items()}  # the seed may have been another
    for entry in sorted(out.iterdir()) if out.is_dir() else []:
        content = read_record(entry)
        is_ours = content is not None and (content.slide.source or "").partition(",")[0] == sources.get(entry.name)
        is_hidden = entry.name.startswith(".")  # what a demo that was killed left
        if not (is_ours or is_hidden or entry.name in (FILE_NAME, LOG_NAME)):
            raise OutputError(f"{out} holds {entry.name}, which is not of an earlier demo", ELSEWHERE)


def demo_slides() -> dict[str, ArraySlide]:
    """Return a description and an image for each; none needs a file or a download.

    The marker of the drawn one is in nuclei, as the models expect; that of the colon, FHL2, is in the cytoplasm, where positive
    nuclei mean little.
    """
    colon = skimage.data.immunohistochemistry()
    field = synthetic_field(FIELD_SEED, FIELD_PX).image
    return {
        f"synthetic field, seed {FIELD_SEED}": ArraySlide(field, name="synthetic", resolution=Resolution(FIELD_MPP, "option")),
        "scikit-image data.immunohistochemistry()": ArraySlide(colon, name="colon", resolution=Resolution(COLON_MPP, "option")),
    }
