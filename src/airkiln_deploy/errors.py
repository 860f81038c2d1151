"""The error that ends a module of the playbooks with a sentence for people."""

from __future__ import annotations


class DeployError(Exception):
    """A call to AWS failed, or what was asked for cannot be done. The text says what, and what to do next."""
