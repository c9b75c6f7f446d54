"""From the size of a slide to overlapping tiles, and where the tissue is."""
