"""The AWS account and region that are emulated."""

from __future__ import annotations

import os

from rehearsal.linux.addresses import ENDPOINT, ENDPOINT_PORT

ACCOUNT = "123456789012"
DEBIAN_OWNER = "136693071363"
"""The account that publishes the official Debian images (https://wiki.debian.org/Cloud/AmazonEC2Image)."""


def aws_region() -> str:
    """Return the name of the emulated AWS region: ``AWS_DEFAULT_REGION``, or us-east-1."""
    return os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def instance_access_key(instance_id: str) -> str:
    """Return the access key in an instance's metadata: 20 characters, as AWS's temporary ones have."""
    return "ASIA" + instance_id.removeprefix("i-").upper()[:16].ljust(16, "A")


def endpoint_url() -> str:
    """Return the URL of the AWS APIs inside the rehearsal's network."""
    return f"http://{ENDPOINT}:{ENDPOINT_PORT}"
