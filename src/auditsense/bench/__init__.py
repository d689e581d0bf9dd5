"""Cost of auditsense on this machine, as ratios to the least work that the same machine can do.

Used by `auditsense bench` and the folder bench/. The sensor imports nothing of it.
"""
