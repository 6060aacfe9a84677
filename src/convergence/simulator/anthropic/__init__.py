"""The Admin API of Anthropic: usage, costs, Claude Code, workspaces, keys and people."""

from convergence.simulator.anthropic.world import AnthropicWorld

__all__ = ["AnthropicWorld"]
