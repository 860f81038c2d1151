"""`airkiln database prepare|grant|wait`. Each reads the environment of its unit."""

from __future__ import annotations

import argparse
import os

from airkiln.database import prepare as preparing
from airkiln.database import wait as waiting
from airkiln.journal import say

_NOT_OURS = (
    f"no administrator's credentials ({preparing.ADMIN_PASSWORD} is not set): "
    "the database is taken as it is, nothing changed"
)


def prepare(_options: argparse.Namespace) -> None:
    """`airkiln database prepare`."""
    wanted = preparing.plan(os.environ)
    if wanted is None:
        say(_NOT_OURS)
    else:
        preparing.prepare(wanted)


def grant(_options: argparse.Namespace) -> None:
    """`airkiln database grant`."""
    wanted = preparing.plan(os.environ)
    if wanted is None:
        say(_NOT_OURS)
    else:
        preparing.grant(wanted)


def wait(_options: argparse.Namespace) -> None:
    """`airkiln database wait`."""
    waiting.wait(os.environ)
