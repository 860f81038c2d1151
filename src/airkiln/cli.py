"""The `airkiln` command. A subcommand's module is imported when it runs: start-up time counts at boot."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from pkgutil import resolve_name
from traceback import extract_tb
from typing import NoReturn

from airkiln.errors import DEFECT, EXIT_CODES_HELP, OK, USAGE, AirkilnError
from airkiln.host.layout import Layout
from airkiln.systemd.journal import ERROR, say

PEERS = ("turbine", "target-tracking", "keda")
"""Policies that a simulation compares with ours (airkiln.simulation.peers, which is not imported here)."""


def main() -> NoReturn:
    """Run one command and end the process.

    Units wait for the end of the boot path. Without garbage collection and without shutting the interpreter
    down it ends 0.1 s sooner.
    """
    gc.disable()
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        code = OK  # the reader of the output has closed it
    except SystemExit as usage:  # argparse's
        sys.stdout.flush()
        code = usage.code if isinstance(usage.code, int) else USAGE
    os._exit(code)


def run(given: Sequence[str]) -> int:
    """Run one command; returns its exit code. SystemExit is argparse's, for usage and help."""
    try:
        if given[:1] == ["airflow"]:  # every further argument is Airflow's, --help too
            resolve_name("airkiln.shell:run")(list(given[1:]))
            return OK
        options = _parser().parse_args(given)
        if options.command is None:
            _parser().print_help(sys.stderr)
            return USAGE
        resolve_name(options.command)(options)
    except AirkilnError as error:
        say(f"airkiln: {error}" if "\n" not in str(error) else str(error), ERROR)
        return error.exit_code
    except Exception as error:
        # Never the text or a traceback: either may hold a parameter's value.
        frames = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in extract_tb(error.__traceback__)]
        say(
            f"airkiln: a defect: {type(error).__name__} at {' > '.join(frames)}: please report this line",
            ERROR,
        )
        return DEFECT
    return OK


def _add_credentials(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    credentials = commands.add_parser("credentials", help="the credentials of Airflow's and its tasks' role")
    actions = credentials.add_subparsers(metavar="ACTION", required=True)
    run = actions.add_parser("run", help="hand them out on this host (airkiln-credentials.service)")
    run.set_defaults(command="airkiln.credentials.commands:run")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="airkiln",
        description="Airkiln on an instance.",
        epilog=EXIT_CODES_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(metavar="COMMAND")

    boot = commands.add_parser("boot", help="load this instance's parameters and start its role")
    boot.add_argument(
        "--reload", action="store_true", help="load again and restart only the units whose variables changed"
    )
    boot.set_defaults(command="airkiln.boot.commands:boot")

    signal = commands.add_parser(
        "signal", help="signal the stack that waits for this instance: its role is healthy, or has failed"
    )
    signal.set_defaults(command="airkiln.boot.commands:signal")

    early = commands.add_parser(
        "early-journal", help="send the journal from before the CloudWatch agent's start to CloudWatch, once"
    )
    early.set_defaults(command="airkiln.boot.commands:early_journal")

    parameters = commands.add_parser("parameters", help="load or check an environment's parameters")
    actions = parameters.add_subparsers(metavar="ACTION", required=True)
    load = actions.add_parser(
        "load", help="write them to files that systemd reads, with one for each unit of the role"
    )
    load.add_argument("--output", type=Path, default=Layout().run_env, help="the file (default: %(default)s)")
    load.set_defaults(command="airkiln.parameters.commands:load")
    check = actions.add_parser("check", help="read and check them; print their names, never a value")
    check.set_defaults(command="airkiln.parameters.commands:check")
    for action in (load, check):
        action.add_argument("--environment", required=True, metavar="E", help="such as prod")
        action.add_argument(
            "--role", required=True, metavar="R", help="webserver, scheduler, worker, database or all"
        )
        action.add_argument("--source", choices=("ssm", "file"), default="ssm", help="default: %(default)s")
        action.add_argument("--file", type=Path, metavar="F", help="with --source file: NAME=value lines")
        action.add_argument("--region", metavar="R", help="default: as boto finds it")

    _add_credentials(commands)
    _add_database(commands)

    failover = commands.add_parser(
        "failover", help="the scheduler's failover: see or change which host leads"
    )
    acts = failover.add_subparsers(metavar="ACTION", required=True)
    for name, text in (
        ("run", "run the controller of this host (airkiln-failover.service)"),
        ("status", "who leads, and which hosts are ready"),
        ("switchover", "have another host lead, and wait until it does"),
        ("pause", "forbid takeovers: the leader goes on"),
        ("resume", "allow them again"),
        ("free", "end the lease, whoever holds it: its scheduler ends, and the next ready host leads"),
        ("clean-up", "kill what an ended controller led, and release its lease"),
    ):
        act = acts.add_parser(name, help=text)
        act.set_defaults(command=f"airkiln.failover.commands:{name.replace('-', '_')}")
        if name == "status":
            act.add_argument("--json", action="store_true", help="as JSON")
        if name == "switchover":
            act.add_argument("--to", metavar="HOST", help="default: any that is ready")
            act.add_argument(
                "--timeout", type=float, default=30.0, metavar="S", help="seconds (default: %(default)s)"
            )

    lifecycle = commands.add_parser("lifecycle", help="the end of a worker: drained, so that no task is lost")
    steps = lifecycle.add_subparsers(metavar="ACTION", required=True)
    for name, text in (
        ("run", "watch for the end of this host, and drain it then (airkiln-lifecycle.service)"),
        ("status", "which generations of the worker run here, and whether they drain"),
        ("drain", "take no more tasks on this host and finish those that run"),
        ("resume", "cancel a drain: start a worker"),
        ("supersede", "stop the generations before one that is ready"),
    ):
        step = steps.add_parser(name, help=text)
        step.set_defaults(command=f"airkiln.lifecycle.commands:{name}")
        if name == "status":
            step.add_argument("--json", action="store_true", help="as JSON")
        if name == "drain":
            step.add_argument("--wait", action="store_true", help="return when nothing runs any more")
        if name == "supersede":
            step.add_argument("generation", type=int, metavar="N", help="the one that is ready")

    autoscale = commands.add_parser("autoscale", help="as many workers as the queued and running tasks need")
    _autoscale(autoscale.add_subparsers(metavar="ACTION", required=True))

    airflow = commands.add_parser(
        "airflow",
        add_help=False,
        help="an Airflow command with this instance's environment, as the service user",
    )
    airflow.set_defaults(command=None)
    return parser


def _add_database(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    database = commands.add_parser("database", help="prepare the metadata database, or wait for it")
    steps = database.add_subparsers(metavar="ACTION", required=True)
    for name, text in (
        ("prepare", "create the roles, the lease and its functions (with the administrator's credentials)"),
        ("grant", "grant their rights on Airflow's tables, after `airflow db migrate`"),
        ("wait", "return when the database accepts connections"),
        ("clean", "remove what is older than AIRKILN_RETENTION_DAYS, where this host leads"),
    ):
        steps.add_parser(name, help=text).set_defaults(command=f"airkiln.database.commands:{name}")


def _autoscale(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    daemon = actions.add_parser(
        "run", help="size the pools where this host leads (airkiln-autoscale.service)"
    )
    daemon.set_defaults(command="airkiln.autoscale.commands:run")
    daemon.add_argument(
        "--without-controller",
        action="store_true",
        help="no failover controller runs: of all hosts, the first one decides",
    )
    status = actions.add_parser("status", help="demand and capacity of the pools")
    status.set_defaults(command="airkiln.autoscale.commands:status")
    status.add_argument("--json", action="store_true", help="as JSON")
    simulate = actions.add_parser(
        "simulate",
        help="what tasks of the past would have waited, and their workers cost, with other settings",
    )
    simulate.set_defaults(command="airkiln.simulation.commands:run")
    source = simulate.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--history", type=Path, metavar="FILE.csv", help="with the columns queue, queued_at and seconds"
    )
    source.add_argument("--database", action="store_true", help="the metadata database's task instances")
    simulate.add_argument(
        "--settings", type=Path, nargs="+", required=True, metavar="FILE.toml", help="pools, side by side"
    )
    simulate.add_argument("--since", metavar="T", help="leave out what was queued before (ISO 8601, UTC)")
    simulate.add_argument(
        "--peers", nargs="*", choices=PEERS, default=PEERS, help="beside the first settings (default: all)"
    )
    simulate.add_argument(
        "--output", type=Path, metavar="DIR", help="write simulation.json and simulation.svg there"
    )
    simulate.add_argument("--json", action="store_true", help="JSON instead of the table")
