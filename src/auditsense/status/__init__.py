"""Status of a running sensor: settings, server, document, client and table."""
