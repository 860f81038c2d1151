"""Airkiln on an instance."""
