"""Configuration of `auditsense run`: TOML files and flags.

`schema` declares each key once. From it come parsing and errors (`loader`, `settings`), the flags
(`cli.parser`), and `config dump`, the sample file and docs/configuration.md (`render`).
"""
