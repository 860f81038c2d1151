"""Whether the tests of the pure modules notice a change of them. `make mutate` runs it."""
