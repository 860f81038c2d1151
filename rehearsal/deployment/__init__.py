"""Airkiln deployed on the emulated AWS."""
