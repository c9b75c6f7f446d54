"""Compare results with a reference: pixels, nuclei, images and readings."""
