"""CloudWatch's namespace of an environment: an instance may publish to that of its own environment alone."""

from __future__ import annotations


def namespace(environment: str) -> str:
    """The namespace, as cloudformation/security.yaml allows it to the environment's instances."""
    return f"Airkiln/{environment}" if environment else "Airkiln"
