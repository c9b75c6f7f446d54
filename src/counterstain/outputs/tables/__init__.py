"""An analysis to tables: nuclei with their outlines, and tiles, for the programs that read them."""
