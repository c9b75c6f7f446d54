"""What a page shows of a result: pixels, nuclei and numbers."""
