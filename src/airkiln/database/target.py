"""Where the metadata database is: Airflow's SQLAlchemy URL as libpq's keywords. Pure.

https://www.postgresql.org/docs/17/libpq-connect.html#LIBPQ-PARAMKEYWORDS names the keywords;
SQLAlchemy's URLs are `dialect+driver://user:password@host:port/dbname?option=value`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from airkiln import roles, urls
from airkiln.errors import RefusedError

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
        parts, options = urls.parse_database(url)
    except ValueError as error:
        raise RefusedError([f"{name}: {error}"]) from None
    if options.get("require_auth", AUTHENTICATION) != AUTHENTICATION:
        raise RefusedError(
            [
                f"{name}: require_auth is not {AUTHENTICATION}: remove it, or whoever poses as the server "
                "may ask for the password in clear"
            ]
        )
    return Target(
        host=parts.host or options.get("host", ""),
        port=parts.port or 5432,
        database=parts.path.removeprefix("/"),
        user=parts.user or "",
        password=parts.password or "",
        options={key: value for key, value in options.items() if key != "host"},
    )
