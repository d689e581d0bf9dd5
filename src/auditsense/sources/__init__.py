"""Where audit records come from: the kernel's socket, a log file, a capture."""
