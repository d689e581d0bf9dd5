"""What keeps a sensor from seeing on this host, found by looking: facts, and checks that judge them."""
