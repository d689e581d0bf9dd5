"""Tests of auditsense; the folders mirror those of the package."""
