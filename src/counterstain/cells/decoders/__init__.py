"""Rules that cut the maps of a model into nuclei; ``names.py`` lists them."""
