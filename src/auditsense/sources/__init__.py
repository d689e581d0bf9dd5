"""Live sources of audit records: the kernel's sockets, and text that a daemon writes."""
