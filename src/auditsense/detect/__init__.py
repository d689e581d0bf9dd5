"""Bytes to documents: no I/O, no clock, no privileges."""
