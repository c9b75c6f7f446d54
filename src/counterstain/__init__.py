"""Virtual multiplex immunofluorescence and cell counts from ordinary immunohistochemistry images.

::

    from counterstain import analyze, open_slide

    analysis = analyze(open_slide("slide.svs"))
    analysis.cells["area_um2"]

These names cost nothing until they are used: functions import what they need when they are called, classes when they are named.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

# Slides are patient data: ONNX Runtime reads this when it is first imported, and then neither records nor reports its use.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from counterstain.errors import BundleError, CounterstainError, OutputError, SlideError, UsageError
from counterstain.verbs import analyze, load_backend, open_result, open_slide, write_result

if TYPE_CHECKING:
    from counterstain.analysis import Analysis
    from counterstain.cells.classify import classify
    from counterstain.cells.segment import CellOptions
    from counterstain.cells.table import Cells
    from counterstain.geometry import Box
    from counterstain.inference.backend import Backend
    from counterstain.panel import Channel, Panel
    from counterstain.pipeline import AnalyzeOptions
    from counterstain.scoring.base import Score
    from counterstain.scoring.regions import Region
    from counterstain.slides.array import ArraySlide
    from counterstain.slides.base import Resolution, Slide
    from counterstain.stitching.maps import Maps

__all__ = [
    "Analysis",
    "AnalyzeOptions",
    "ArraySlide",
    "Backend",
    "Box",
    "BundleError",
    "CellOptions",
    "Cells",
    "Channel",
    "CounterstainError",
    "Maps",
    "OutputError",
    "Panel",
    "Region",
    "Resolution",
    "Score",
    "Slide",
    "SlideError",
    "UsageError",
    "analyze",
    "classify",
    "load_backend",
    "open_result",
    "open_slide",
    "write_result",
]


_HOMES = {
    "Analysis": "counterstain.analysis",
    "classify": "counterstain.cells.classify",
    "CellOptions": "counterstain.cells.segment",
    "Cells": "counterstain.cells.table",
    "Box": "counterstain.geometry",
    "Backend": "counterstain.inference.backend",
    "Channel": "counterstain.panel",
    "Panel": "counterstain.panel",
    "AnalyzeOptions": "counterstain.pipeline",
    "Score": "counterstain.scoring.base",
    "Region": "counterstain.scoring.regions",
    "ArraySlide": "counterstain.slides.array",
    "Resolution": "counterstain.slides.base",
    "Slide": "counterstain.slides.base",
    "Maps": "counterstain.stitching.maps",
}
"""Name -> the module that defines it: what type checkers read above, in a form that can wait."""


def __getattr__(name: str) -> Any:
    """Import a name when it is first asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'counterstain' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*__all__, *globals()})
