"""FOCUS: the table that every provider's costs end in, and its exports."""
