"""Tell systemd when a component of Airflow is ready, as ``Type=notify`` needs.

None of Airflow's commands speaks ``sd_notify``. Without it a unit counts as started the moment its process
exists, seconds before it can do anything, and what is ordered after it starts too early.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

_NOTIFY_SOCKET = "NOTIFY_SOCKET"


@dataclass
class _Manager:
    """systemd, as this process knows it: its socket, and whether readiness was sent."""

    address: str = ""
    notified: bool = False


_manager = _Manager()


def claim() -> None:
    """Take the socket's name out of the environment and keep it for this process alone.

    No child, a task least of all, can then speak to systemd in the unit's name.
    """
    if address := os.environ.pop(_NOTIFY_SOCKET, ""):
        _manager.address, _manager.notified = address, False


def notify_ready(status: str) -> bool:
    """Send ``READY=1`` and a line for ``systemctl status`` once; return whether it was sent.

    :param status: what the unit does now, one line.
    :raises OSError: the socket that systemd named cannot be written; the unit would time out anyway.
    """
    claim()
    if _manager.notified or not _manager.address:
        return False
    _send(f"READY=1\nSTATUS={status}")
    _manager.notified = True
    return True


def notify_status(status: str) -> bool:
    """Change the line of ``systemctl status`` of a unit that is ready; return whether it was sent.

    :raises OSError: the socket that systemd named cannot be written.
    """
    if not _manager.notified:
        return False
    _send(f"STATUS={status}")
    return True


def _send(text: str) -> None:
    address = _manager.address
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
        manager.sendto(text.encode(), address)
