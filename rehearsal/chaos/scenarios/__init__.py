"""Experiments from a fault to a result."""
