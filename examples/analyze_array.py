"""Analyse pixels that are in memory and show one line of numbers: python examples/analyze_array.py [MODEL]."""

import sys

import skimage.data

from counterstain.inference.names import load_backend
from counterstain.pipeline import analyze
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution


def main(model: str) -> None:
    """Count the nuclei of a corner of scikit-image's picture of a colon, taken as a 20x scan."""
    pixels = skimage.data.immunohistochemistry()[:256, :256]
    slide = ArraySlide(pixels, name="colon", resolution=Resolution(0.5, "assumed"))
    analysis = analyze(slide, load_backend(model))
    score = analysis.scores[0]
    low, high = score.interval
    sys.stdout.write(f"{score.counts['total']} nuclei, {score.value:.1f} % positive (95 % interval {low:.1f} to {high:.1f})\n")


if __name__ == "__main__":
    main(*sys.argv[1:2] or ["default"])
