"""Requests to ``rehearsal.aws.fault_api``, for a process that is inside the rehearsal's network.

Every function raises RehearsalError with the daemon's reason if it refuses the request.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request

from rehearsal.aws.account import endpoint_url
from rehearsal.errors import RehearsalError


def spot_notice(instance: str, seconds: float = 120) -> None:
    """Announce an instance's Spot interruption; its machine loses its power after ``seconds``."""
    _request("spot-notice", instance=instance, seconds=seconds)


def rebalance(instance: str) -> None:
    """Have EC2 recommend to replace an instance."""
    _request("rebalance", instance=instance)


def live_migration(instance: str, address: str) -> None:
    """Move an instance to other hardware: metadata forget its tokens and its lifecycle state."""
    _request("live-migration", instance=instance, address=address)


def throttle(service: str, calls: int, action: str = "") -> None:
    """Refuse the next ``calls`` requests of a service, or of one action of it. 0 ends it.

    :param service: the name for which requests are signed: ``autoscaling``, ``ec2``, ``monitoring``.
    """
    _request("throttle", service=service, calls=calls, action=action)


def metadata_away(address: str, seconds: float) -> None:
    """Leave requests of an address to the metadata service unanswered for ``seconds``. 0 ends it."""
    _request("metadata-away", address=address, seconds=seconds)


def _request(fault: str, **details: str | float) -> None:
    request = urllib.request.Request(  # noqa: S310 - the emulated AWS
        f"{endpoint_url()}/_rehearsal/{fault}", data=json.dumps(details).encode(), method="POST"
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30):
            pass
    except urllib.error.HTTPError as error:
        reason = error.read().decode(errors="replace")
        raise RehearsalError(f"The emulated AWS refused {fault} {details}: {reason}") from error
