"""Statements over an organization's own tables."""
