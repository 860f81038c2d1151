"""The metadata database: where it is, what `airkiln database prepare` makes in it, and waiting for it."""
