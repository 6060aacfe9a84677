"""Uploaded files, by kind."""
