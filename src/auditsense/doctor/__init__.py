"""Diagnosis of a host: facts about it, and checks that judge them."""
