"""The kernel's audit subsystem: commands, audit rules, takeover and restore."""
