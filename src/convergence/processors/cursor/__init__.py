"""Cursor: members, usage events, activity, spend, cost and seats. Modules with an underscore are no processors."""
