"""Readers of the files that the published DeepLIIF software leaves behind. None of them executes anything."""
