"""The host: its paths, files, clock and instance metadata, and the loop that every daemon runs."""
