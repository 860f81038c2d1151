"""The grammar of ``python -m rehearsal``. A command is a few lines around the module that does the work."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from rehearsal.aws import session
from rehearsal.aws.instances import LaunchOptions, find_machine, launch_instance
from rehearsal.errors import RehearsalError
from rehearsal.linux.rootfs import build_rootfs
from rehearsal.region import PORT_VARIABLE, Region, current

RESUMED = {"up": ("rehearse", "SIZE=one"), "deploy": ("rehearse",)}
"""The targets of the Makefile that continue a command after an interruption."""
Command = Callable[[Region, argparse.Namespace], int]
"""Runs a command and returns its exit status."""


def say(text: str) -> None:
    """Print one line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def port_number(text: str) -> int:
    """A TCP port that a user without privileges may open."""
    if not text.isdecimal() or not 1024 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number from 1024 to 65535")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """The command line's grammar; ``run`` of its result is the command."""
    top = argparse.ArgumentParser(prog="python -m rehearsal", description="Emulates AWS on this machine.")
    commands = top.add_subparsers(dest="command", required=True)

    def add(name: str, run: Command, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text)
        made.set_defaults(run=run)
        return made

    main_job = add("up", _up, "bake an image, boot Airflow, run a DAG, print address and login")
    stacks = add("deploy", _deploy, "the same by playbooks/deploy.yml: an environment's stacks run")
    for opens in (main_job, stacks):
        opens.add_argument(
            "--port",
            type=port_number,
            default=os.environ.get(PORT_VARIABLE) or "8080",
            help=f"where the UI opens on 127.0.0.1 (default: ${PORT_VARIABLE}, or 8080)",
        )
    stacks.add_argument(
        "--hosts", type=int, choices=(1, 2), default=2, help="instances of each role (default: 2)"
    )
    add("start", _start, "start the network and the emulated AWS")
    add("down", _down, "end everything and remove every trace outside build/")
    shows = add("status", _status, "show what runs and which images exist")
    shows.add_argument("--watch", action="store_true", help="on a terminal, show it again until Ctrl-C")
    enters = add("shell", _shell, "open a shell as root on an instance, or on the first of a role")
    enters.add_argument("host", nargs="?", default="", help="an instance, the end of its id, or a role")
    tells = add("logs", _logs, "show the journals of a role's instances; on a terminal until Ctrl-C")
    tells.add_argument(
        "host", nargs="?", default="", metavar="ROLE", help="a role or an instance (default: all)"
    )
    tells.add_argument("--lines", type=int, default=50, help="of each instance, from before (default: 50)")
    add("base", _base, "build the root filesystem of Debian 13 and print its folder")
    inside = add("run-in-region", _run_in_region, "run a command where the AWS endpoint is")
    inside.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    execute = add("exec", _exec, "run a command inside a machine, as root")
    execute.add_argument("machine")
    execute.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    journal = add("journal", _journal, "show a machine's journal")
    journal.add_argument("machine")
    journal.add_argument("words", nargs=argparse.REMAINDER, metavar="JOURNALCTL-OPTION")
    launch = add("launch", _launch, "launch an instance and print its id and address")
    launch.add_argument(
        "image", help="id or name of an image (* matches anything); debian is the plain Debian 13"
    )
    launch.add_argument("--tag", action="append", default=[], metavar="KEY=VALUE")
    launch.add_argument("--public-key", type=Path, help="file of an SSH public key that may log in as admin")
    launch.add_argument("--profile", help="name of an instance profile")
    launch.add_argument("--user-data", help="text that the instance finds as its user data")
    fault = add("fault", _fault, "list the faults of a running environment, inject one, or heal all")
    fault.add_argument("name", nargs="?", default="", help="a fault, or `heal`, which ends all that last")
    fault.add_argument("target", nargs="?", default="", metavar="HOST|ZONE", help="what the list names")
    fault.add_argument("--seconds", type=float, help="heal it after so long (default: at Ctrl-C)")
    scenario = add("scenario", _scenario, "list the failure scenarios, or run one on a cluster")
    actions = scenario.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="print names, budgets and descriptions")
    run = actions.add_parser("run", help="run one, boot a cluster for it if none runs, and leave it running")
    run.add_argument("name")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. An error is one sentence on stderr."""
    asked = parser().parse_args(arguments)
    try:
        return int(asked.run(current(), asked))
    except RehearsalError as problem:
        notes: list[str] = getattr(problem, "__notes__", [])
        sys.stderr.write("\n".join([f"rehearsal: {problem}", *notes]) + "\n")
        return 1
    except (BotoCoreError, ClientError) as refused:
        sys.stderr.write(f"rehearsal: the emulated AWS refused: {refused}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(interrupted(current(), asked.command))
        return 130


def interrupted(region: Region, command: str) -> str:
    """The line after Ctrl-C: how to go on, and how to remove what is left."""
    again = f" {region.make(*RESUMED[command])} continues from here;" if command in RESUMED else ""
    return f"\nrehearsal: interrupted.{again} {region.make('rehearse-down')} removes what is left.\n"


def _up(region: Region, asked: argparse.Namespace) -> int:
    from rehearsal.commands.up import up  # noqa: PLC0415 - boto3 and the rest are for this command alone

    up(region, asked.port)
    return 0


def _deploy(region: Region, asked: argparse.Namespace) -> int:
    from rehearsal.commands.deploy import deploy  # noqa: PLC0415 - as above

    deploy(region, asked.port, asked.hosts)
    return 0


def _scenario(region: Region, asked: argparse.Namespace) -> int:
    from rehearsal.commands import scenario  # noqa: PLC0415 - as above

    if asked.action == "list":
        say(scenario.listing())
        return 0
    return scenario.run(region, asked.name)


def _fault(region: Region, asked: argparse.Namespace) -> int:
    from rehearsal.commands import fault  # noqa: PLC0415 - as above

    return fault.fault(region, asked.name, asked.target, asked.seconds)


def _start(region: Region, _: argparse.Namespace) -> int:
    session.start(region)
    return 0


def _down(region: Region, _: argparse.Namespace) -> int:
    session.down(region)
    return 0


def _status(region: Region, asked: argparse.Namespace) -> int:
    from rehearsal.commands import status  # noqa: PLC0415 - as above

    if asked.watch:
        return status.watch(region)
    code, lines = status.status(region)
    say(lines)
    return code


def _shell(region: Region, asked: argparse.Namespace) -> int:
    from rehearsal.commands import hosts  # noqa: PLC0415 - as above

    return hosts.shell(region, asked.host)


def _logs(region: Region, asked: argparse.Namespace) -> int:
    from rehearsal.commands.logs import logs  # noqa: PLC0415 - as above

    return logs(region, asked.host, lines=asked.lines)


def _base(region: Region, _: argparse.Namespace) -> int:
    session.require_root()
    say(str(build_rootfs(region)))
    return 0


def _run_in_region(region: Region, asked: argparse.Namespace) -> int:
    return session.run_in_region(region, _words(asked) or ["bash"])


def _exec(region: Region, asked: argparse.Namespace) -> int:
    return _inside(region, asked.machine, _words(asked) or ["bash"])


def _journal(region: Region, asked: argparse.Namespace) -> int:
    return _inside(region, asked.machine, ["journalctl", "--no-pager", *_words(asked)])


def _inside(region: Region, machine: str, command: list[str]) -> int:
    entered = find_machine(region, machine).inside(*command)
    return subprocess.run(entered, check=False).returncode


def _launch(region: Region, asked: argparse.Namespace) -> int:
    tags = dict(pair.split("=", 1) for pair in asked.tag if "=" in pair)
    if len(tags) != len(asked.tag):
        raise RehearsalError("A tag must be written as KEY=VALUE, each key once.")
    options: LaunchOptions = {
        "public_key": asked.public_key,
        "user_data": asked.user_data,
        "profile": asked.profile,
    }
    say(" ".join(launch_instance(region, asked.image, tags, **options)))
    return 0


def _words(asked: argparse.Namespace) -> list[str]:
    """The words of a command, without the ``--`` that may precede them."""
    words: list[str] = asked.words
    return words[1:] if words[:1] == ["--"] else words
