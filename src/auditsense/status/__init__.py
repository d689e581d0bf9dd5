"""What a running sensor says of itself when asked: settings, socket, document, and who reads it."""
