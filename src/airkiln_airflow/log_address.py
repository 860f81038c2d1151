"""The address under which other hosts reach the logs that this host serves.

Airflow stores the result of ``[core] hostname_callable`` with each task instance, and the web server
reads the log of a running task from that host. Names of instances resolve only where the VPC's DNS does;
the private address always works inside it.
"""

from __future__ import annotations

import socket

_ELSEWHERE = ("169.254.169.254", 80)
"""Any address off this host serves: connecting a datagram socket sends nothing, it only picks a route.
The instance metadata address is one that an EC2 instance always has a route to."""


def get() -> str:
    """Return the IPv4 address of the interface that the default route leaves by.

    A host without any route (a laptop that is offline) serves its logs to itself alone: 127.0.0.1.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ELSEWHERE)
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
