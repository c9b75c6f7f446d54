"""Models of other software, read without running anything of them."""
