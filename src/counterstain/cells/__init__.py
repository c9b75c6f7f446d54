"""From maps to a table of nuclei: decode, measure, classify and outline."""
