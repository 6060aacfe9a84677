"""Runs: accepted, queued, executed, recorded; and the schedule that starts them."""
