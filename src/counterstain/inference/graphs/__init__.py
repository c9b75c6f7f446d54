"""What the graph of a bundle may hold, looked at before a runtime loads it."""
