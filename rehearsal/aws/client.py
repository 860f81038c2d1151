"""Clients of the emulated AWS, for a process that is inside the rehearsal's network."""

from __future__ import annotations

from typing import Any, TypeAlias

import botocore.session
from botocore.config import Config

from rehearsal.aws.account import aws_region, endpoint_url

Client: TypeAlias = Any
"""botocore makes its clients' types at run time."""


def client(service: str, region: str = "") -> Client:
    """Return a botocore client of a service, such as ``ec2``.

    :param region: another region than that of the rehearsal.
    """
    session = botocore.session.get_session()
    made: Client = session.create_client(
        service,
        region_name=region or aws_region(),
        endpoint_url=endpoint_url(),
        aws_access_key_id="rehearsal",
        aws_secret_access_key="rehearsal",  # noqa: S106 - the emulated AWS does not check it
        config=Config(retries={"max_attempts": 2}, proxies={}),
    )
    return made
