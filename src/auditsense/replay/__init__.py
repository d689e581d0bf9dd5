"""Recorded sources: captures, logs and rotated logs."""
