"""From a path to pixels: the ``Slide`` protocol and its readers."""
