"""What lies with Google besides its bill."""
