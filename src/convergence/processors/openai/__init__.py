"""OpenAI: usage, reported cost, directory, cost and seat plans. Modules with an underscore are no processors."""
