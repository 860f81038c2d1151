"""What the emulated RDS needs of a database server, and how it runs what takes longer than a request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

ENGINE = "postgres"
AVAILABLE = "available"


class Server(Protocol):
    """A database server; ``postgres.Postgres`` is one."""

    def exists(self) -> bool:
        """Whether there is a server already, whoever has started it."""

    def start(self, host: str, disk: Path | None = None) -> None:
        """Start the server with a certificate for this name, with the data of a snapshot if one is given."""

    def create_administrator(self, name: str, password: str) -> None:
        """Create the master user, or set its password."""

    def create_database(self, name: str, owner: str) -> None:
        """Create a database."""

    def configure(self, settings: Mapping[str, str]) -> None:
        """Set the server's parameters."""

    def snapshot(self, disk: Path) -> None:
        """Copy the data as they are at one moment."""

    def remove(self) -> None:
        """Remove the server with its data."""


def in_background(job: Callable[[], None]) -> None:
    """Run a job in a thread of its own."""
    threading.Thread(target=job, daemon=True).start()
