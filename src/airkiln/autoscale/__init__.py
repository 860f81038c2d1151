"""The size of the worker pools, by demand: no worker is terminated that runs a task."""
