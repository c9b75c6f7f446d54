"""See how the percentage depends on the threshold, from the table alone: python examples/choose_threshold.py [MODEL]."""

import sys
from dataclasses import replace

from counterstain.cells.classify import classify
from counterstain.inference.names import load_backend
from counterstain.pipeline import analyze
from counterstain.scoring.fraction import percent_positive
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution
from counterstain.training.synthesis.render import synthetic_field


def main(model: str) -> None:
    """Analyse once, then classify at seven thresholds."""
    pixels = synthetic_field(seed=1, side=384).image
    slide = ArraySlide(pixels, name="field", resolution=Resolution(0.25, "option"))
    analysis = analyze(slide, load_backend(model))
    for threshold in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8):
        called = classify(analysis.cells, threshold, marker_threshold=None)
        score = percent_positive(replace(analysis.population, cells=called))
        sys.stdout.write(f"threshold {threshold:.1f}: {score.value:5.1f} % of {len(called)} nuclei\n")


if __name__ == "__main__":
    main(*sys.argv[1:2] or ["default"])
