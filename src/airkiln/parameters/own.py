"""What Airkiln's own parameters may hold. Pure: values in, sentences out, and no sentence holds a secret.

The boot path and deploy.yml ask here before anything starts. The programs that follow these values read them
themselves, and some cannot import this package: `airkiln_airflow` is another environment, and the script of
the EFS tunnel runs on Debian's Python. Tests hold that each accepts what is accepted here, and nothing else.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Callable, Mapping

from airkiln import numbers
from airkiln.errors import RefusedError

DEFAULT_PUBLIC_PORT = 8081
"""The web server's second port (airkiln_airflow.webserver)."""
DEFAULT_API_PORT = 8080
"""[api] port of Airflow 3.3.2."""
_PUBLIC_PORT = "AIRKILN_WEB_PUBLIC_PORT"
_API_PORT = "AIRFLOW__API__PORT"

_FILE_SYSTEM = re.compile(r"fs-[0-9a-f]{8,40}")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
UNVERIFIED = "AIRKILN_DATABASE_UNVERIFIED"
"""The one parameter with which a connection over the network may leave the certificate unverified."""
ALLOWED = "allowed"
"""Its only value that does."""


def _number(name: str) -> Callable[[str], str | None]:
    return functools.partial(numbers.reason, name)


def port(text: str) -> int | None:
    """A port, or 0 for none; None for what is neither."""
    return int(text) if numbers.reason(_PUBLIC_PORT, text) is None else None


def _proxies(text: str) -> str | None:
    networks = []
    for part in filter(None, map(str.strip, text.split(","))):
        try:
            networks.append(ipaddress.ip_network(part))
        except ValueError:
            return "the value is not a list of networks: write such as 10.20.0.0/16, separated by commas"
    if any(network.prefixlen == 0 for network in networks):
        return "the value lets every client say who it is: write the networks of the load balancers"
    return None


def _pools(text: str) -> str | None:
    from airkiln.pools import settings  # noqa: PLC0415 - most hosts have no use for it, and start-up counts

    try:
        settings.parse({settings.VARIABLE: text})
    except RefusedError as error:
        return "; ".join(each.removeprefix(f"{settings.VARIABLE}: ") for each in error.problems)
    return None


def _file_system(text: str) -> str | None:
    if text and not _FILE_SYSTEM.fullmatch(text):
        return "the value is not the id of a file system: write such as fs-0123456789abcdef0"
    return None


def _host(text: str) -> str | None:
    return "the value is not a host name: correct it" if text and not _HOST_NAME.fullmatch(text) else None


def _unverified(text: str) -> str | None:
    return None if text == ALLOWED else f"the value is not {ALLOWED!r}: write that, or remove the parameter"


def _any(_text: str) -> str | None:
    """No component reads more than a text in it; `strength` has which passwords are weak."""
    return None


VALUES: Mapping[str, Callable[[str], str | None]] = {
    "AIRKILN_ADMIN_DATABASE_PASSWORD": _any,
    "AIRKILN_ADMIN_DATABASE_USER": _any,
    "AIRKILN_ADMIN_EMAIL": _any,
    "AIRKILN_ADMIN_PASSWORD": _any,
    "AIRKILN_ADMIN_USERNAME": _any,
    "AIRKILN_ADMIN_WORKER_DATABASE_PASSWORD": _any,
    "AIRKILN_CONTROLLER_DATABASE_PASSWORD": _any,
    UNVERIFIED: _unverified,
    "AIRKILN_EFS_HOST": _host,
    "AIRKILN_EFS_ID": _file_system,
    "AIRKILN_LIFECYCLE_PASSWORD": _any,
    "AIRKILN_POOLS": _pools,
    "AIRKILN_RETENTION_DAYS": _number("AIRKILN_RETENTION_DAYS"),
    _PUBLIC_PORT: _number(_PUBLIC_PORT),
    "AIRKILN_WEB_TRUSTED_PROXIES": _proxies,
}
"""Every parameter of Airkiln's own that a component reads, and why a value of it is refused."""

SET_BY_AIRKILN = frozenset({"AIRKILN_EPOCH", "AIRKILN_GATE", "AIRKILN_QUEUES"})
"""What its units and programs hand to each other in the environment."""

_DATABASE_ADMINISTRATOR = frozenset(
    {
        "AIRKILN_ADMIN_DATABASE_PASSWORD",
        "AIRKILN_ADMIN_DATABASE_USER",
        "AIRKILN_ADMIN_WORKER_DATABASE_PASSWORD",
    }
)
_FIRST_ADMINISTRATOR = frozenset({"AIRKILN_ADMIN_EMAIL", "AIRKILN_ADMIN_PASSWORD", "AIRKILN_ADMIN_USERNAME"})
DATABASE_STEP = (
    # The user has a default, and what the failover controller logs in with has a reader of its own.
    (
        _DATABASE_ADMINISTRATOR,
        _DATABASE_ADMINISTRATOR - {"AIRKILN_ADMIN_DATABASE_USER"} | {"AIRKILN_CONTROLLER_DATABASE_PASSWORD"},
    ),
    (_FIRST_ADMINISTRATOR, _FIRST_ADMINISTRATOR),
)
"""Parameters of which each one asks the database step for something, and what it then needs."""


def reason(name: str, value: str) -> str | None:
    """Why no component could follow this value of a parameter, or None."""
    return VALUES.get(name, _any)(value)


def conflicts(in_force: Mapping[str, str]) -> list[str]:
    """A sentence for what two values together make impossible."""
    public = port(in_force.get(_PUBLIC_PORT) or str(DEFAULT_PUBLIC_PORT))
    if public and public == port(in_force.get(_API_PORT) or str(DEFAULT_API_PORT)):
        return [
            f"{_PUBLIC_PORT} ({DEFAULT_PUBLIC_PORT} by default) is {_API_PORT}: write another port, "
            "or 0 for none"
        ]
    return []


def incomplete(in_force: Mapping[str, str]) -> list[str]:
    """A sentence for each parameter that the database step lacks, where another one says what it is to do."""
    given = {name for name, value in in_force.items() if value}
    return [
        f"{name}: missing, and {' and '.join(sorted(given & group))} cannot be followed without it: store it "
        "too, or remove the others"
        for group, needed in DATABASE_STEP
        for name in sorted(needed - given)
        if given & group
    ]
