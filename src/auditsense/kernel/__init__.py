"""The kernel's audit subsystem: commands, audit rules, taking over and putting back."""
