"""The Admin API of Cursor: members, usage events, daily usage and spend."""

from convergence.simulator.cursor.world import CursorWorld

__all__ = ["CursorWorld"]
