"""The database role that a leader's process logs in as.

On a scheduler host of an active/standby pair the scheduler and the DAG processor log in as the role of the
current epoch, by the service entry that the failover controller writes; never as ``airflow``, which no fence
stops. Two settings say whether a host is one of a pair, and it is one unless both say otherwise: the drop-in
of the role ``failover_controller`` sets AIRKILN_GATE in the image, and ``instance.json`` names the role that
this instance was given at boot.

``python -P -m airkiln_airflow.fenced --unless-gated COMMAND`` becomes that command on a host without a gate,
and does nothing elsewhere.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

UNLESS_GATED = "--unless-gated"
REFUSED = 78
"""Exit code of a configuration that cannot be followed (EX_CONFIG)."""

USAGE = 64
"""Exit code of arguments that mean nothing (EX_USAGE)."""

GATE = "AIRKILN_GATE"
"""Path of the gate's socket; set only where a failover controller may run."""

EPOCH = "AIRKILN_EPOCH"
"""The epoch in which this process leads, once the gate is open."""

INSTANCE = Path("/run/airkiln/instance.json")
"""What ``airkiln-boot.service`` found out about this instance, its role among it."""

ALL_IN_ONE = "all"
"""The role of a host that runs everything alone: no controller, no gate."""

SETTINGS: Mapping[str, str] = {
    "AIRFLOW__CELERY__RESULT_BACKEND": "db+postgresql+psycopg://?service=airkiln_scheduler",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg://?service=airkiln_scheduler",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": "postgresql+psycopg://?service=airkiln_scheduler",
    "PGSERVICEFILE": "/run/airkiln-failover/pg_service.conf",
}
"""libpq reads user, password and address from the service's entry at each connection, so a process that
was started with these settings can log in as nobody else, and not at all before the entry is written."""

_OTHER_FORMS = ("_CMD", "_SECRET")
"""Airflow reads an option from NAME first, but these forms of it must not lead elsewhere after all."""


class RefusedError(Exception):
    """The configuration cannot be followed; the message says why and what to do."""


def gate_of(environment: Mapping[str, str], instance: Path = INSTANCE) -> Path | None:
    """Where this host's gate is, or None on a host that has none and runs with its own connection.

    :raises RefusedError: a gate is set, but not which role the host has: nothing then says that it may run
        without one.
    """
    gate = environment.get(GATE, "")
    if not gate:
        return None
    try:
        role = json.loads(instance.read_text())["role"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RefusedError(
            f"{instance} does not say which role this host has ({type(error).__name__}), and {GATE} is set: "
            "see `journalctl -u airkiln-boot` and start airkiln-boot.service again"
        ) from error
    return None if role == ALL_IN_ONE else Path(gate)


def fence(environment: dict[str, str] | os._Environ[str]) -> None:
    """Leave no other way to the database in this environment than the epoch's service entry.

    Call it before ``airflow`` is imported: Airflow makes its engine when it is.
    """
    for name, value in SETTINGS.items():
        environment[name] = value
        for form in _OTHER_FORMS:
            environment.pop(name + form, None)


def main() -> int:
    """Become the command after ``--unless-gated``, unless this host has a gate."""
    option, *command = sys.argv[1:]
    if option != UNLESS_GATED:
        sys.stderr.write(f"usage: python -P -m airkiln_airflow.fenced {UNLESS_GATED} COMMAND\n")
        return USAGE
    try:
        gated = gate_of(os.environ) is not None
    except RefusedError:
        return 0  # what this comes before refuses it, and waits before it ends
    if not gated:
        os.execv(command[0], command)  # noqa: S606 - the unit's process becomes that command
    return 0


if __name__ == "__main__":
    sys.exit(main())
