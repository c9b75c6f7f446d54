"""The two passes over a slide: tiles to maps, finished maps to tables of nuclei; and who does them."""
