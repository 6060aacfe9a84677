"""What is computed from the cost tables of all providers."""
