"""What auditsense costs on this machine, as ratios to what the machine can do at least.

One noun a file. Nothing here is loaded by the sensor; `auditsense bench` and the folder bench/ use it.
"""
