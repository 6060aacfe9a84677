"""The Sheets API of Google: one spreadsheet with the mapping of keys and people."""

from convergence.simulator.google_sheets.world import GoogleSheetsWorld, Tab

__all__ = ["GoogleSheetsWorld", "Tab"]
