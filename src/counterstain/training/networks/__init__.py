"""Networks. Each file is one architecture; nothing here knows losses, data or files."""
