"""Status for systemd: sd_notify(3) in a few lines."""

from __future__ import annotations

import os
import socket


def status(text: str) -> None:
    """Show `text` in `systemctl status`."""
    send(f"STATUS={text}")


def send(message: str) -> None:
    """Tell systemd; does nothing without NOTIFY_SOCKET (NotifyAccess=main in the unit).

    Errors of the socket are ignored: a lost message is not a failure.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address or address[0] not in "/@":
        return
    if address[0] == "@":
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.connect(address)
            sock.send(message.encode())
    except OSError:
        return
