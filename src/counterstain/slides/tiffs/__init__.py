"""Readers of TIFF: flat images, tiled pyramids, and the metadata of OME."""
