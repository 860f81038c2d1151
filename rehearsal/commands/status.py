"""``python -m rehearsal status``: what runs, which images exist, and how an environment is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TextIO

from botocore.exceptions import BotoCoreError, ClientError

from rehearsal.aws import session
from rehearsal.aws.client import client
from rehearsal.aws.services.ec2.images import Catalogue
from rehearsal.commands.summary import table
from rehearsal.deployment import environment, parameters
from rehearsal.deployment.airflow_api import Airflow
from rehearsal.deployment.environment import Environment, Row
from rehearsal.deployment.instances import WEB_PORT
from rehearsal.errors import RehearsalError
from rehearsal.linux.machine import machines
from rehearsal.linux.network import Network
from rehearsal.region import Region

NOT_RUNNING = 3
"""The exit status of `systemctl status` for a unit that does not run."""
REFRESH = 2.0
"""Seconds between two pictures of the live view."""
CLEAR = "\033[H\033[2J"
"""Moves to the top left of a terminal and clears it."""
WEB_ROLES = ("webserver", "all")
"""Roles whose instances serve Airflow's API."""
SETTLED = ("CREATE_COMPLETE", "UPDATE_COMPLETE")


def status(region: Region) -> tuple[int, str]:
    """The exit status, 0 if the emulated AWS runs, and one line for each thing that exists."""
    network = Network(region)
    up = session.aws_running(region)
    lines = [
        f"network   {'up' if network.exists() else 'down'} ({region.namespace})",
        f"AWS       {'up' if up else 'down'}",
    ]
    lines += [f"port      127.0.0.1:{port} -> {target}" for port, target in network.forwards().items()]
    for machine in machines(region):
        with suppress(RehearsalError):  # it has just been removed
            lines.append(
                f"machine   {machine.name} {machine.address} {'running' if machine.running() else 'off'}"
            )
    if region.images.is_dir():
        lines += [f"image     {image.id} {image.name}" for image in Catalogue(region).all()]
    if up:
        with network.visit():
            lines += _environments(region)
    else:
        lines.append(f"start     {region.make('rehearse')}")
    return 0 if up else NOT_RUNNING, "\n".join(lines)


def watch(
    region: Region,
    out: TextIO = sys.stdout,
    *,
    picture: Callable[[Region], tuple[int, str]] = status,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Show the status until Ctrl-C; once, if the output is not a terminal.

    :returns: the exit status of the last picture.
    """
    code, text = picture(region)
    if not out.isatty():
        out.write(f"{text}\n")
        return code
    try:
        while True:
            out.write(f"{CLEAR}{text}\n\n{time.strftime('%H:%M:%S')}, every {REFRESH:g} s; Ctrl-C ends\n")
            out.flush()
            sleep(REFRESH)
            code, text = picture(region)
    except KeyboardInterrupt:
        out.write("\n")
        return code


def stack_lines(stacks: Sequence[dict[str, str]]) -> list[str]:
    """One line that counts the stacks that are complete, and one for each other with its state.

    :param stacks: as DescribeStacks returns them.
    """
    done = [each for each in stacks if each["StackStatus"] in SETTLED]
    others = [each for each in stacks if each["StackStatus"] not in SETTLED]
    counted = [f"stacks    {len(done)} complete"] if done else []
    return counted + [f"stack     {each['StackName']} {each['StackStatus']}" for each in others]


def _environments(region: Region) -> list[str]:
    """The tables of the environments that run, and what is not healthy in them. A request that fails because
    the environment is being made or removed is a line of its own."""
    lines: list[str] = []
    try:
        lines += stack_lines(client("cloudformation").describe_stacks()["Stacks"])
        for name in (environment.NAME, parameters.NAME):
            if rows := Environment(region, name=name).table():
                lines += ["", *table(rows), "", _airflow(rows)]
    except (BotoCoreError, ClientError) as problem:
        lines.append(f"the emulated AWS does not answer: {problem}")
    return lines


def _airflow(rows: Sequence[Row]) -> str:
    addresses = [row.address for row in rows if row.role in WEB_ROLES]
    if not addresses:
        return "Airflow   no web server"
    unhealthy = Airflow(f"http://{addresses[0]}:{WEB_PORT}").unhealthy()
    return f"Airflow   {'not healthy: ' + ', '.join(unhealthy) if unhealthy else 'healthy'}"
