"""The commands of ``python -m rehearsal``; each is a few lines around the module that does the work."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from rehearsal.aws import session
from rehearsal.aws.instances import LaunchOptions, find_machine, launch_instance
from rehearsal.aws.services.ec2.images import Catalogue
from rehearsal.errors import RehearsalError
from rehearsal.linux.machine import machines
from rehearsal.linux.network import Network
from rehearsal.linux.rootfs import build_rootfs
from rehearsal.region import PORT_VARIABLE, Region, current

INTERRUPTED = """
rehearsal: interrupted; `make rehearse` goes on from here, `make rehearse-down` removes what is left.
"""


def say(text: str) -> None:
    """One line to the user."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def port_number(text: str) -> int:
    """A TCP port that anybody may open."""
    if not text.isdecimal() or not 1024 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number from 1024 to 65535")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    top = argparse.ArgumentParser(prog="python -m rehearsal", description="Plays AWS on this machine.")
    commands = top.add_subparsers(dest="command", required=True)
    main_job = commands.add_parser(
        "up", help="the main job: bake, boot Airflow, run a DAG, print address and login"
    )
    main_job.add_argument(
        "--port",
        type=port_number,
        default=os.environ.get(PORT_VARIABLE) or "8080",
        help=f"where the UI opens on 127.0.0.1 (default: ${PORT_VARIABLE}, or 8080)",
    )
    commands.add_parser("start", help="start the network and the local AWS")
    commands.add_parser("down", help="end everything and remove every trace outside build/")
    commands.add_parser("status", help="show what runs and which images there are")
    commands.add_parser("base", help="build the base image and print its folder")
    inside = commands.add_parser("run-in-region", help="run a command where the AWS endpoint is")
    inside.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    execute = commands.add_parser("exec", help="run a command inside a machine, as root")
    execute.add_argument("machine")
    execute.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    journal = commands.add_parser("journal", help="show a machine's journal")
    journal.add_argument("machine")
    journal.add_argument("words", nargs=argparse.REMAINDER, metavar="JOURNALCTL-OPTION")
    launch = commands.add_parser("launch", help="launch an instance and print its id and address")
    launch.add_argument("image", help="id or name of an image (* matches anything); debian is the base image")
    launch.add_argument("--tag", action="append", default=[], metavar="KEY=VALUE")
    launch.add_argument("--public-key", type=Path, help="file of an SSH public key that may log in as admin")
    launch.add_argument("--profile", help="name of an instance profile")
    launch.add_argument("--user-data", help="text that the instance finds as its user data")
    return top


def status(region: Region) -> int:
    """Print what runs; 0 if the local AWS does, else 3 as `systemctl status` says it."""
    network = Network(region)
    running = session.aws_running(region)
    say(f"network   {'up' if network.exists() else 'down'} ({region.namespace})")
    say(f"local AWS {'up' if running else 'down'}")
    for port, target in network.forwards().items():
        say(f"port      127.0.0.1:{port} -> {target}")
    for machine in machines(region):
        state = "running" if machine.running() else "off"
        say(f"machine   {machine.name} {machine.address} {state}")
    if region.images.is_dir():
        for image in Catalogue(region).all():
            say(f"image     {image.id} {image.name}")
    return 0 if running else 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status. Errors go to stderr in one sentence."""
    asked = parser().parse_args(arguments)
    try:
        return _run(current(), asked)
    except RehearsalError as problem:
        sys.stderr.write(f"rehearsal: {problem}\n")
        return 1
    except (BotoCoreError, ClientError) as refused:
        sys.stderr.write(f"rehearsal: the local AWS refused: {refused}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(INTERRUPTED)
        return 130


def _run(region: Region, asked: argparse.Namespace) -> int:
    words: list[str] = getattr(asked, "words", [])
    words = words[1:] if words[:1] == ["--"] else words
    match asked.command:
        case "up":
            from rehearsal.commands.up import up  # noqa: PLC0415 - boto3 and the rest are for this command alone

            up(region, asked.port)
        case "start":
            session.start(region)
        case "down":
            session.down(region)
        case "status":
            return status(region)
        case "base":
            session.require_root()
            say(str(build_rootfs(region)))
        case "run-in-region":
            return session.run_in_region(region, words or ["bash"])
        case "exec" | "journal":
            machine = find_machine(region, asked.machine)
            command = (
                ["journalctl", "--no-pager", *words] if asked.command == "journal" else words or ["bash"]
            )
            entered = machine.inside(*command)
            return subprocess.run(entered, check=False).returncode
        case "launch":
            tags = dict(pair.split("=", 1) for pair in asked.tag if "=" in pair)
            if len(tags) != len(asked.tag):
                raise RehearsalError("A tag is written KEY=VALUE.")
            options: LaunchOptions = {
                "public_key": asked.public_key,
                "user_data": asked.user_data,
                "profile": asked.profile,
            }
            found = launch_instance(region, asked.image, tags, **options)
            say(" ".join(found))
    return 0
