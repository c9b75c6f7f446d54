"""Processes that claim jobs and do them."""
