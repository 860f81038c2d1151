"""Where the metadata database is: Airflow's SQLAlchemy URL as libpq's keywords. Pure.

https://www.postgresql.org/docs/17/libpq-connect.html#LIBPQ-PARAMKEYWORDS names the keywords;
SQLAlchemy's URLs are `dialect+driver://user:password@host:port/dbname?option=value`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from airkiln import roles
from airkiln.errors import RefusedError

_DIALECTS = ("postgresql", "postgres")
_SETTABLE = frozenset({"host", "port", "dbname", "user", "password"})
AUTHENTICATION = "scram-sha-256"
"""How a password is used: the server proves that it knows it, and never sees it. Without `require_auth`,
libpq sends it in clear to whoever asks for it so."""


@dataclass(frozen=True)
class Target:
    """One database server and database, and whom Airflow logs in as. `options` are libpq's, such as
    sslmode."""

    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """For messages: host, port and database; nothing secret."""
        return f"{self.host or 'the local socket'}:{self.port}/{self.database}"

    def keywords(self, user: str, password: str, database: str | None = None) -> dict[str, str]:
        """libpq's keywords for another user of the same server. An empty password is left out (peer)."""
        found = {
            **({"require_auth": AUTHENTICATION} if password else {}),
            **self.options,
            "host": self.host,
            "port": str(self.port),
            "dbname": database or self.database,
            "user": user,
            "password": password,
        }
        return {name: value for name, value in found.items() if value}


def parse(url: str, name: str = roles.DATABASE) -> Target:
    """The target of a SQLAlchemy URL. RefusedError names the variable `name` and never shows the value."""
    try:
        parts = urlsplit(url)
        port = parts.port or 5432
    except ValueError:
        raise _refused(name, "it is not a URL") from None
    if parts.scheme.partition("+")[0] not in _DIALECTS:
        raise _refused(name, "it names no PostgreSQL database")
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    if "service" in given:
        raise _refused(name, "it names a service of libpq; name host, user and database instead")
    database = unquote(parts.path.lstrip("/")) or given.get("dbname", "")
    user = unquote(parts.username or "") or given.get("user", "")
    if not database or not user:
        raise _refused(name, "it names no database" if not database else "it names no user")
    if given.get("require_auth", AUTHENTICATION) != AUTHENTICATION:
        raise RefusedError(
            [
                f"{name}: require_auth is not {AUTHENTICATION}: remove it, or whoever poses as the server "
                "may ask for the password in clear"
            ]
        )
    return Target(
        host=unquote(parts.hostname or "") or given.get("host", ""),
        port=port,
        database=database,
        user=user,
        password=unquote(parts.password or "") or given.get("password", ""),
        options={key: value for key, value in given.items() if key not in _SETTABLE},
    )


def _refused(name: str, why: str) -> RefusedError:
    return RefusedError([f"{name}: {why}: set it as postgresql+psycopg://user:password@host:5432/database"])
