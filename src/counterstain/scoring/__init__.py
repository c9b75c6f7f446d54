"""From the cells table to numbers with intervals."""
