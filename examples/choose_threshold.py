"""See how the percentage depends on the threshold, from the table alone: python examples/choose_threshold.py [MODEL]."""

import sys
from dataclasses import replace

import skimage.data

from counterstain.cells.classify import classify
from counterstain.inference.names import load_backend
from counterstain.pipeline import analyze
from counterstain.scoring.fraction import percent_positive
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution


def main(model: str) -> None:
    """Analyse once, then classify at seven thresholds."""
    pixels = skimage.data.immunohistochemistry()[:256, :256]
    slide = ArraySlide(pixels, name="colon", resolution=Resolution(0.5, "assumed"))
    analysis = analyze(slide, load_backend(model))
    for threshold in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8):
        called = classify(analysis.cells, threshold, marker_threshold=None)
        score = percent_positive(replace(analysis.population, cells=called))
        sys.stdout.write(f"threshold {threshold:.1f}: {score.value:5.1f} % of {len(called)} nuclei\n")


if __name__ == "__main__":
    main(*sys.argv[1:2] or ["default"])
