"""`airkiln boot`, `airkiln signal` and `airkiln early-journal`."""

from __future__ import annotations

import argparse

from airkiln.boot.boot import Boot


def boot(options: argparse.Namespace) -> None:
    """Load this instance's parameters and start its role; with --reload, restart what changed."""
    machine = Boot()
    if options.reload:
        machine.reload()
    else:
        machine.start()


def signal(_options: argparse.Namespace) -> None:
    """Signal CloudFormation how the role of this instance fares."""
    from airkiln.boot.stack_signal import Signal  # noqa: PLC0415 - a boot does without it

    Signal().send()


def early_journal(_options: argparse.Namespace) -> None:
    """Send the part of the journal that precedes the CloudWatch agent."""
    from airkiln.boot.early_journal import EarlyJournal  # noqa: PLC0415 - a boot does without it

    EarlyJournal().send()
