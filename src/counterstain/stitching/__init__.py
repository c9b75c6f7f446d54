"""From the maps of tiles to the maps of a slide."""
