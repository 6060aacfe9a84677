"""Anthropic: usage, reported cost, Claude Code, directory and cost. Modules with an underscore are no processors."""
