"""Requests to the fault API of the emulated AWS, for a process that is inside the rehearsal's network."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

from rehearsal.aws.account import endpoint_url
from rehearsal.errors import RehearsalError


def spot_notice(instance: str, seconds: float = 120) -> None:
    """Have EC2 tell an instance that it ends in so many seconds, and take its machine away then.

    Like the three below for a process that is inside the region's network.
    """
    _order("spot-notice", instance=instance, seconds=seconds)


def rebalance(instance: str) -> None:
    """Have EC2 recommend to replace an instance."""
    _order("rebalance", instance=instance)


def throttle(service: str, calls: int, action: str = "") -> None:
    """Have the next calls of a service refused, or of one action of it; 0 ends that.

    A service's name is the one that requests are signed for: ``autoscaling``, ``ec2``, ``monitoring``.
    """
    _order("throttle", service=service, calls=calls, action=action)


def metadata_away(address: str, seconds: float) -> None:
    """Have the metadata service give no answer to an address for so long; 0 ends that."""
    _order("metadata-away", address=address, seconds=seconds)


def _order(order: str, **details: str | float) -> None:
    """Tell the local AWS to do something to somebody."""
    request = urllib.request.Request(  # noqa: S310 - the local AWS
        f"{endpoint_url()}/_rehearsal/{order}", data=json.dumps(details).encode(), method="POST"
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30):
            pass
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")
        raise RehearsalError(f"The local AWS refused {order} {details}: {said}") from error
