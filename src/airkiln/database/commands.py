"""`airkiln database prepare|grant|wait|clean`. Each reads the environment of its unit."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

from airkiln.database import prepare as preparing
from airkiln.database import retention
from airkiln.database import wait as waiting
from airkiln.host import instance
from airkiln.host.layout import Layout
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


def clean(_options: argparse.Namespace) -> None:
    """`airkiln database clean`."""
    age = retention.days(os.environ)
    if age is None:
        say(f"{retention.DAYS} is not set: everything is kept")
        return
    login = retention.login(os.environ, instance.read(Layout()).role)
    if login is None:
        say("this host does not lead: nothing to do")
        return
    deleted = retention.clean(login, age)
    say(f"removed {sum(deleted.values())} rows that were older than {age} days")
