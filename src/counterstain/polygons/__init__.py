"""Polygons in pixels: rings, areas, which points they hold, which pixels they fill, and GeoJSON."""
