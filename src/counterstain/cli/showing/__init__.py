"""What the commands show: bars, messages, tables."""
