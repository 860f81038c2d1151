"""Offline replay of a task history through the autoscaling. Nothing here runs in a daemon."""
