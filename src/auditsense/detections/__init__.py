"""Detections: what is suspicious. Loaded from TOML, compiled to the core's rule table.

A detection is not an audit rule: the one says what to look for, the other tells the kernel what to report.
"""
