"""`airkiln database prepare|grant|wait`. Each reads the environment of its unit."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

from airkiln.database import prepare as preparing
from airkiln.database import wait as waiting
from airkiln.systemd.journal import say


def prepare(_options: argparse.Namespace) -> None:
    """`airkiln database prepare`."""
    _as_administrator(preparing.prepare)


def grant(_options: argparse.Namespace) -> None:
    """`airkiln database grant`."""
    _as_administrator(preparing.grant)


def _as_administrator(step: Callable[[preparing.Plan], None]) -> None:
    """Take the step, or say that there are no credentials for it, as on an all-in-one host."""
    wanted = preparing.plan(os.environ)
    if wanted is not None:
        step(wanted)
        return
    say(
        f"no administrator's credentials ({preparing.ADMIN_PASSWORD} is not set): "
        "the database is taken as it is, nothing changed"
    )


def wait(_options: argparse.Namespace) -> None:
    """`airkiln database wait`."""
    waiting.wait(os.environ)
