"""`airkiln credentials`."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Mapping
from typing import Any

from airkiln.aws.clients import Clients, describe_error, errors
from airkiln.credentials import checked
from airkiln.credentials.server import Server
from airkiln.credentials.task_role import DURATION, RETRY, Assume, TaskRole
from airkiln.errors import AirkilnError, NotReadyError
from airkiln.host import daemon, instance
from airkiln.host.instance import Instance
from airkiln.host.layout import Layout
from airkiln.systemd import notify
from airkiln.systemd.journal import WARNING, say

CYCLE = RETRY
"""Seconds between two looks at whether a renewal is due, and so after one that failed."""


def run(_options: argparse.Namespace) -> None:
    """Assume the task role, hand out its credentials and renew them, until a signal comes."""
    with daemon.starting():
        layout = Layout()
        here = instance.read(layout)
        if not here.task_role:
            raise NotReadyError(
                "this instance has no task role: tag it airkiln:task-role, or leave this unit alone"
            )
        role = TaskRole(checked(here.task_role), through_sts(here))
        try:
            server = Server(layout.task_token, role.document)
        except OSError as error:
            raise AirkilnError(f"the address of the credentials is taken ({error.strerror})") from None
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stop = daemon.Stop()
        stop.install()
        _renew(role)
        notify.send("READY=1")
        while not stop.requested:
            notify.send("WATCHDOG=1")
            stop.wait(CYCLE)
            if role.due <= 0:
                _renew(role)
        server.shutdown()


def _renew(role: TaskRole) -> None:
    try:
        role.renew()
    except errors() as error:
        say(f"{role.arn}: not assumed, trying again in {RETRY:.0f} s: {describe_error(error)}", WARNING)
        notify.status("the task role is not assumed")
    else:
        notify.status(f"credentials of {role.arn}")


def through_sts(here: Instance) -> Assume:
    """Assumes the task role of an instance, with the instance's own credentials."""
    clients = Clients(here.region)

    def assume() -> Mapping[str, Any]:
        answer = clients.get("sts").assume_role(
            RoleArn=here.task_role, RoleSessionName=here.host[:64], DurationSeconds=DURATION
        )
        found: Mapping[str, Any] = answer["Credentials"]
        return found

    return assume
