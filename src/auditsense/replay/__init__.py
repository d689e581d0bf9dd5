"""Recorded input: captures, logs and rotated logs."""
