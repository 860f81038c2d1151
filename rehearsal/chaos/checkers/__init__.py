"""Checkers of what an experiment left behind."""
