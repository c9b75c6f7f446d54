"""The folder of results of one slide: written whole, and opened again."""
