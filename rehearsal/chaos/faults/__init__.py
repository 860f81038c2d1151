"""Faults that can be injected into a cluster; `rehearsal.chaos.scenarios` runs them."""
