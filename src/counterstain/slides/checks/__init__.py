"""What a file claims, compared with what it is, before and after a decoder sees it."""
