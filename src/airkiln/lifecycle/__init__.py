"""The end of a worker: found, waited for and reported, so that no task is lost by it."""
