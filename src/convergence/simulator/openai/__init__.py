"""The organization API of OpenAI: usage, costs, projects, people and keys."""

from convergence.simulator.openai.world import OpenAIWorld

__all__ = ["OpenAIWorld"]
