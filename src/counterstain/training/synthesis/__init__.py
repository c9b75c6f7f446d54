"""Rendered training images: scenes of nuclei, stained by Beer-Lambert, with exact targets. NumPy only, no torch."""
