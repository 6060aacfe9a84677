"""Who spent it."""
