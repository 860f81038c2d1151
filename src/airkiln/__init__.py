"""Airkiln on an instance: the boot path and the parameters."""
