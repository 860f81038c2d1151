"""The login of the failover controller, which the autoscaling and operators' commands use as well."""

from __future__ import annotations

import os
from collections.abc import Mapping

from airkiln.database.target import parse
from airkiln.errors import RefusedError
from airkiln.host.environment import read_loaded
from airkiln.host.layout import Layout
from airkiln.roles import DATABASE

USER = "airkiln_controller"
PASSWORD = "AIRKILN_CONTROLLER_DATABASE_PASSWORD"  # noqa: S105 - the name of a variable


def variables(layout: Layout) -> dict[str, str]:
    """The variables with which to log in. systemd gives them to a unit; for a person they are read here.

    Raises NotReadyError before the boot path has written them, NotPermittedError without the right to read.
    """
    found = dict(os.environ)
    if not found.get(PASSWORD):
        found |= read_loaded(layout.run_env, layout.admin_env)
    return found


def keywords(known: Mapping[str, str]) -> dict[str, str]:
    """libpq's keywords of the login. Raises RefusedError, which names what is missing."""
    problems = [
        f"{name}: missing: set it as a parameter of the environment"
        for name in (DATABASE, PASSWORD)
        if not known.get(name)
    ]
    if problems:
        raise RefusedError(problems)
    return parse(known[DATABASE]).keywords(USER, known[PASSWORD])
