"""Scenarios by topic; `registry` has all of them by name."""
