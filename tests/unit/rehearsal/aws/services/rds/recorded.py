"""The emulated RDS with a server that only records what it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WANTED = {
    "DBInstanceIdentifier": "airkiln-prod",
    "DBInstanceClass": "db.t4g.medium",
    "Engine": "postgres",
    "EngineVersion": "17",
    "DBName": "airflow",
    "MasterUsername": "master",
    "MasterUserPassword": "letters2",
    "AllocatedStorage": 20,
}


@dataclass
class RecordedServer:
    """A server that records what it is told."""

    host: str = ""
    here: bool = False
    broken: bool = False
    passwords: dict[str, str] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    data: str = ""

    def exists(self) -> bool:
        return self.here

    def start(self, host: str, disk: Path | None = None) -> None:
        if self.broken:
            raise OSError("no machine")
        self.host, self.here = host, True
        self.data = (disk / "data").read_text() if disk else ""

    def snapshot(self, disk: Path) -> None:
        if self.broken:
            raise OSError("no machine")
        disk.mkdir()
        (disk / "data").write_text(self.data)

    def create_administrator(self, name: str, password: str) -> None:
        self.passwords[name] = password

    def create_database(self, name: str, owner: str) -> None:
        self.owners[name] = owner

    def configure(self, settings: Mapping[str, str]) -> None:
        self.settings = dict(settings)

    def remove(self) -> None:
        self.here = False


@dataclass
class Rds:
    """The emulated RDS of one test; its server does something when ``settle`` is called."""

    client: Any
    server: RecordedServer
    jobs: list[Callable[[], None]] = field(default_factory=list)
    listed: list[list[tuple[str, list[str]]]] = field(default_factory=list)
    """The servers with their security groups after each change of them."""

    def settle(self) -> None:
        while self.jobs:
            self.jobs.pop(0)()

    @property
    def status(self) -> str:
        (found,) = self.client.describe_db_instances()["DBInstances"]
        return str(found["DBInstanceStatus"])
