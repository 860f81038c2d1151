"""How often a client may fail to log in.

Flask AppBuilder limits its login page. The other addresses that take a password have no limit of their
own, and each of them is an oracle for guesses. They share this one. It counts failures, so that a program
with the right password is never refused, and it counts a request while it runs, so that a thousand at
once gain nothing.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_network

from airkiln_airflow.proxies import address

LIMIT = 5
WINDOW = 40.0
"""Failures of a client within so many seconds: those of Flask AppBuilder's login page ([fab]
auth_rate_limit)."""

MOST_CLIENTS = 10_000
"""Clients that are remembered, about 3 MB; the one whose failure is oldest is forgotten."""


class Attempts:
    """The failures of each client, in this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, most_clients: int = MOST_CLIENTS) -> None:
        self._clock = clock
        self._most = most_clients
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def begin(self, client: str) -> float:
        """Count an attempt as a failure until `succeeded` takes it back.

        :param client: its address. A network of IPv6 (/64) is one client: it is what one customer is given.
        :returns: 0 where the attempt may be made, otherwise the seconds until the next one may.
        """
        key, now = _key(client), self._clock()
        recent = [at for at in self._failures.pop(key, []) if now - at < WINDOW]
        self._failures[key] = recent
        if len(recent) >= LIMIT:
            return WINDOW - (now - recent[0])
        recent.append(now)
        while len(self._failures) > self._most:
            self._failures.popitem(last=False)
        return 0.0

    def succeeded(self, client: str) -> None:
        """Take back the latest attempt of this client: it was no failure."""
        recent = self._failures.get(_key(client))
        if recent:
            recent.pop()


def _key(client: str) -> str:
    found = address(client)
    return str(ip_network((found, 64), strict=False)) if isinstance(found, IPv6Address) else client
