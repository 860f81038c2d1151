"""`airkiln parameters load` and `check`."""

from __future__ import annotations

import argparse
import sys

from airkiln.errors import RefusedError
from airkiln.host.layout import Layout
from airkiln.parameters.load import Loaded, collect, role_named, store
from airkiln.parameters.source import LOCAL_FILE, open_source
from airkiln.systemd.journal import say


def load(options: argparse.Namespace) -> None:
    """Read, check, write; says how many and where."""
    loaded = _collect(options)
    store(loaded, role_named(options.role), options.output)
    say(f"{len(loaded.airflow)} parameters written to {options.output}")


def check(options: argparse.Namespace) -> None:
    """Read and check; the names go to standard output, one a line."""
    loaded = _collect(options)
    for name in sorted({*loaded.airflow, *loaded.admin}):
        sys.stdout.write(f"{name}\n")


def _collect(options: argparse.Namespace) -> Loaded:
    role = role_named(options.role)
    if options.source == "file" and options.file is None:
        raise RefusedError(["--source file: no file given: add --file F"])
    source = open_source(options.source, options.file or LOCAL_FILE, options.region)
    return collect(source, options.environment, role, Layout())
