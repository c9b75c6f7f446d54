"""Scores that a laboratory reports, one published rule a file."""
