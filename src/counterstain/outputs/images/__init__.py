"""An analysis to images: every plane that was inferred, and pictures for people."""
