"""FOCUS rows from the cost tables."""
