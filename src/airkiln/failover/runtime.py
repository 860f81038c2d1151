"""The runtime directory of the failover controller, and the service file in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from airkiln.database.target import parse
from airkiln.roles import DATABASE

SERVICE = "airkiln_scheduler"


@dataclass(frozen=True)
class RuntimeDirectory:
    """The runtime directory of airkiln-failover.service."""

    path: Path = Path("/run/airkiln-failover")

    @property
    def gate(self) -> Path:
        """The socket at which schedulers wait."""
        return self.path / "gate"

    @property
    def service(self) -> Path:
        """libpq's service file: the login of the epoch."""
        return self.path / "pg_service.conf"

    @property
    def state(self) -> Path:
        """Holder and epoch of the lease, for `airkiln failover clean-up` to release."""
        return self.path / "state.json"

    @property
    def lock(self) -> Path:
        """Locked by the one controller of the host."""
        return self.path / "lock"


def service_entry(variables: Mapping[str, str], user: str, password: str) -> str:
    """The service file with which the scheduler logs in."""
    entry = parse(variables[DATABASE]).keywords(user, password)
    return "\n".join([f"[{SERVICE}]", *(f"{name}={value}" for name, value in entry.items()), ""])
