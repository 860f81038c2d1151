"""Clients of the emulated AWS, with which CloudFormation calls the other services."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import botocore.session
from botocore.config import Config

Clients = Callable[[str], Any]
"""Returns the botocore client of a service, such as ``ec2``."""


def clients(endpoint: str, region: str) -> Clients:
    """Return a function that makes one client per service and keeps it."""
    made: dict[str, Any] = {}
    lock = threading.Lock()

    def client(service: str) -> Any:  # noqa: ANN401 - botocore makes its clients' types at run time
        with lock:
            if service not in made:
                made[service] = botocore.session.get_session().create_client(
                    service,
                    region_name=region,
                    endpoint_url=endpoint,
                    aws_access_key_id="rehearsal",
                    aws_secret_access_key="rehearsal",  # noqa: S106 - the emulated AWS does not check it
                    config=Config(
                        retries={"max_attempts": 1},
                        proxies={},
                        max_pool_connections=4,
                        s3={"addressing_style": "path"},
                    ),
                )
            return made[service]

    return client
