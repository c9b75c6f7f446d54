"""Writers: an ``Analysis`` in, files that other programs open out."""
