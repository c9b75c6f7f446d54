"""Many images found, analysed, kept, segmented and scored again, logged and summed up. Knows no user interface."""
