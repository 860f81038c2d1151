"""Connections to the metadata database, and what went wrong with one in words a person can act on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import errors

from airkiln.errors import AirkilnError, DeniedError, RefusedError, UnavailableError

CONNECT_LIMIT = 5
"""Seconds for a connection of a command that a person or a boot waits for."""

Connection = psycopg.Connection[tuple[Any, ...]]

_NO_LOGIN = ("password authentication failed", "is not permitted to log in", "no password supplied")
_NOT_THERE = ("does not exist",)
_NOT_ITSELF = (
    "certificate verify failed",
    "server certificate for",
    "root certificate file",
    "authentication method requirement",
    "does not support SSL",
)
"""libpq's words for a server that does not prove to be the one that is meant."""


def connect(keywords: Mapping[str, str], *, limit: float = CONNECT_LIMIT) -> Connection:
    """A connection in autocommit. Raises what `explain` says.

    :param keywords: libpq's, the password among them.
    :param limit: seconds for the connection.
    """
    settings = {"application_name": "airkiln", "connect_timeout": max(1, round(limit)), **keywords}
    try:
        return psycopg.connect(**settings, autocommit=True)  # type: ignore[arg-type] # libpq's own keywords
    except psycopg.Error as error:
        raise explain(error, keywords) from None


def explain(error: psycopg.Error, keywords: Mapping[str, str]) -> AirkilnError:
    """The failure as an AirkilnError: refused (a person must act), denied, or unavailable (try again)."""
    where = f"{keywords.get('host', 'the local socket')}:{keywords.get('port', '5432')}"
    user, database = keywords.get("user", ""), keywords.get("dbname", "")
    text = " ".join(str(error).split())
    if any(sign in text for sign in _NO_LOGIN):
        return DeniedError(
            f"database {database} at {where}: {user} may not log in with the password of its parameter: "
            "correct the parameter, or run `airkiln database prepare` in the database step"
        )
    if isinstance(error, errors.InsufficientPrivilege):
        return DeniedError(
            f"database {database} at {where}: {user} lacks a right ({_first_line(error)}): "
            "run `airkiln database prepare` with the administrator's credentials"
        )
    if any(sign in text for sign in _NOT_ITSELF):
        return RefusedError(
            [
                f"database {database} at {where}: the server does not prove to be the right one "
                f"({_first_line(error)}): check the host of its URL, sslmode and the file of sslrootcert"
            ]
        )
    if any(sign in text for sign in _NOT_THERE):
        return RefusedError(
            [
                f"database {database} at {where}: {_first_line(error)}: "
                "run `airkiln database prepare` in the database step"
            ]
        )
    if type(error) is psycopg.ProgrammingError:  # of libpq itself: a keyword that it does not know
        return RefusedError(
            [f"database {database} at {where}: {_first_line(error)}: correct the options of its URL"]
        )
    return UnavailableError(
        f"database {database} at {where}: no answer to {user} ({_first_line(error)}): check the server, "
        "the security groups and the network, then try again"
    )


def _first_line(error: psycopg.Error) -> str:
    return (error.diag.message_primary or str(error).partition("\n")[0] or type(error).__name__).strip()
