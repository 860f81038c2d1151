"""What the tests of the controller share: processes, removed at the end, and no way to a real AWS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.airkiln.failover.scheduler import Scheduler, Start


@pytest.fixture(autouse=True)
def neither_systemd_nor_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JOURNAL_STREAM", "NOTIFY_SOCKET", "AIRKILN_CONTROLLER_DATABASE_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts schedulers that wait at a gate."""
    started: list[Scheduler] = []

    def one(gate: Path) -> Scheduler:
        started.append(Scheduler(gate))
        return started[-1]

    yield one
    for each in started:
        each.remove()
