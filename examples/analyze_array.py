"""Analyse pixels that are in memory and show one line of numbers: python examples/analyze_array.py [MODEL]."""

import sys

from counterstain.inference.names import load_backend
from counterstain.pipeline import analyze
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution
from counterstain.training.synthesis.render import synthetic_field


def main(model: str) -> None:
    """Count the nuclei of a drawn field, whose marker is in the nuclei."""
    pixels = synthetic_field(seed=1, side=384).image
    slide = ArraySlide(pixels, name="field", resolution=Resolution(0.25, "option"))
    analysis = analyze(slide, load_backend(model))
    score = analysis.scores[0]
    low, high = score.interval
    sys.stdout.write(f"{score.counts['total']} nuclei, {score.value:.1f} % positive (95 % interval {low:.1f} to {high:.1f})\n")


if __name__ == "__main__":
    main(*sys.argv[1:2] or ["default"])
