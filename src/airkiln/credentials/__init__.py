"""Credentials of the task role for Airflow and its tasks, which cannot reach instance metadata.

The instance's role reads parameters, completes lifecycle hooks and writes the journal; tasks have a role of
their own, as on ECS. `airkiln credentials run` assumes it and hands its credentials out on a loopback
address, in the form that AWS's SDKs read from `AWS_CONTAINER_CREDENTIALS_FULL_URI`:
https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airkiln.errors import RefusedError

if TYPE_CHECKING:
    from airkiln.host.layout import Layout

ADDRESS = ("127.0.0.1", 51679)
"""A loopback address: botocore accepts no other without TLS. The port is that of ECS's agent."""
PATH = "/credentials"
ARN = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,576}")


def checked(arn: str) -> str:
    """The ARN of a role. Raises RefusedError for anything else."""
    if not ARN.fullmatch(arn):
        raise RefusedError(
            [f"the tag airkiln:task-role is {arn!r}: it must be the ARN of an IAM role, or not exist"]
        )
    return arn


def variables(layout: Layout) -> dict[str, str]:
    """What makes AWS's SDKs in Airflow's processes ask this service, and nobody else."""
    host, port = ADDRESS
    return {
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(layout.task_token),
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{host}:{port}{PATH}",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
