"""Connection URLs, in the one form that means the same to every program that reads them. Pure.

SQLAlchemy takes a URL apart with a regular expression of its own (sqlalchemy/engine/url.py, _parse_url):
the password ends at the last @, the database's name is not percent-decoded, and ?host= and ?port= override
the host before them. kombu and urllib.parse follow RFC 3986, where / ? and # end the host. What they would
read differently is refused here, and percent-encoding makes it unambiguous.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

_PLAIN = r"[A-Za-z0-9._~!&()*+,=-]"
"""What stands for itself in a user and a password: ; separates brokers, and $ begins one of Airflow's
variables."""
_ENCODED = r"%[0-9A-Fa-f]{2}"
_URL = re.compile(
    rf"""
    (?P<scheme>[a-z][a-z0-9]*(?:\+[a-z0-9_]+)*)://
    (?:(?P<user>(?:{_PLAIN}|{_ENCODED})*)(?::(?P<password>(?:{_PLAIN}|{_ENCODED})*))?@)?
    (?:(?P<host>[A-Za-z0-9._-]+)|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])?
    (?::(?P<port>[0-9]{{1,5}}))?
    (?P<path>/[^?\#\s'"`\\<>]*)?
    (?:\?(?P<query>[^\#\s'"`\\<>]*))?
    """,
    re.VERBOSE,
)
_DATABASE = re.compile(r"/[A-Za-z0-9._~-]+")
_OPTION = re.compile(rf"([A-Za-z0-9_.]+)=((?:[A-Za-z0-9._~!()*,:/@-]|{_ENCODED})+)")
_ELSEWHERE = frozenset(
    {"database", "dbname", "hostaddr", "password", "passfile", "port", "service", "servicefile", "user"}
)
"""Options that name again what stands before the question mark, or a file that does."""
ENCODE = (
    "percent-encode every character of the user and the password but letters, digits and . _ ~ - with "
    "`python3 -c 'from urllib.parse import quote; print(quote(input(), safe=\"\"))'`"
)


@dataclass(frozen=True)
class Url:
    """A URL's parts, decoded. What is not given is None or empty."""

    scheme: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    host: str = ""
    port: int | None = None
    path: str = ""
    """As it is written, with the first slash."""
    query: str = ""
    """As it is written, without the question mark."""


def parse(text: str) -> Url:
    """The parts of one URL. Raises ValueError, whose text is what is wrong without any of the URL."""
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError(f"the URL can be read in more than one way, or is none: {ENCODE}")
    port = None if match["port"] is None else int(match["port"])
    if port is not None and not 0 < port < 65536:
        raise ValueError("the URL's port is not between 1 and 65535: correct it")
    return Url(
        match["scheme"],
        _decoded(match["user"]),
        _decoded(match["password"]),
        match["host"] or match["ipv6"] or "",
        port,
        match["path"] or "",
        match["query"] or "",
    )


def _decoded(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        decoded = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise ValueError("the URL's percent-encoding is not that of UTF-8: encode it again") from None
    if any(ord(char) < 32 or ord(char) == 127 for char in decoded):
        raise ValueError("the URL's user or password holds a control character: choose another")
    return decoded


def options(query: str) -> Mapping[str, str]:
    """The options of a database's URL, decoded. Raises ValueError as `parse` does."""
    found: dict[str, str] = {}
    for pair in query.split("&") if query else ():
        match = _OPTION.fullmatch(pair)
        if match is None:
            raise ValueError(
                "the URL's options cannot be read in one way: write each as name=value, separated by &, and "
                "percent-encode what is not a letter or a digit"
            )
        if match[1] in found:
            raise ValueError("the URL gives an option twice: leave one out")
        if match[1] in _ELSEWHERE:
            raise ValueError(
                "the URL gives a part of the address as an option, which programs weigh differently: write "
                "it as postgresql+psycopg://user:password@host:5432/database"
            )
        found[match[1]] = _decoded(match[2]) or ""
    return found


def parse_database(text: str) -> tuple[Url, Mapping[str, str]]:
    """A PostgreSQL URL and its options. A local socket is `user@/database?host=/directory`.

    Raises ValueError as `parse` does.
    """
    url = parse(text)
    if url.scheme.partition("+")[0] != "postgresql":
        raise ValueError(
            "the URL names no PostgreSQL database: begin it with postgresql+psycopg:// "
            "(postgres:// is not known to SQLAlchemy)"
        )
    if not url.user or not _DATABASE.fullmatch(url.path):
        raise ValueError(
            "the URL names no user or no database, or the database's name holds more than letters, digits "
            "and . _ ~ -: set it as postgresql+psycopg://user:password@host:5432/database"
        )
    given = options(url.query)
    if "host" in given and (url.host or url.port or not re.fullmatch(r"/[A-Za-z0-9._/-]*", given["host"])):
        raise ValueError(
            "the URL's option host is not the directory of a local socket: write the host after the @"
        )
    return url, given


def parse_brokers(text: str) -> list[Url]:
    """A broker's URLs: Celery takes several, separated by semicolons. Raises ValueError as `parse` does."""
    return [parse(each) for each in text.split(";")]


def parse_execution_api(text: str) -> Url:
    """The address of Airflow's task execution API, whose path ends in /execution.

    A drain derives the address of the REST API from it, and has a login of its own. Raises ValueError as
    `parse` does.
    """
    url = parse(text)
    if (
        url.scheme not in ("http", "https")
        or not url.host
        or url.user is not None
        or url.query
        or not url.path.rstrip("/").endswith("/execution")
    ):
        raise ValueError(
            "the URL is not that of the task execution API: write it without a login, such as "
            "https://airflow.example.org/execution/"
        )
    return url
