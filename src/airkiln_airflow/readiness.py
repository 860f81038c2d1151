"""Tell systemd when a component of Airflow is ready, as ``Type=notify`` asks for.

None of Airflow's commands speaks ``sd_notify``. Without it a unit counts as started the moment its process
exists, seconds before it can do anything, and what is ordered after it starts too early.
"""

from __future__ import annotations

import os
import socket

_NOTIFY_SOCKET = "NOTIFY_SOCKET"


def notify_ready(status: str) -> bool:
    """Send ``READY=1`` and a line for ``systemctl status`` once; return whether a manager was told.

    The variable that names the socket is removed, so that no child of this process, a task least of all,
    can speak to systemd in the unit's name.

    :param status: what the unit does now, one line.
    :raises OSError: the socket that systemd named cannot be written; the unit would time out anyway.
    """
    address = os.environ.pop(_NOTIFY_SOCKET, "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
        manager.sendto(f"READY=1\nSTATUS={status}".encode(), address)
    return True
