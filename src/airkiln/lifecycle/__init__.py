"""The end of a worker's host: noticed, and the worker drained, so that no task is lost."""
