"""Losses. Each is a pure function of predictions and targets."""
