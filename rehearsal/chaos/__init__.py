"""Experiments on a deployment: faults, workloads and checkers."""
