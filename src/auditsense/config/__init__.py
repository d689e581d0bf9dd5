"""The configuration: what `auditsense run` is told by TOML files and by its flags.

One declaration a key (`declared`); from it come reading and errors (`read`, `resolve`), what a program
gets (`settings`), and what a person gets: `config dump`, the sample file and docs/configuration.md (`show`).
"""
