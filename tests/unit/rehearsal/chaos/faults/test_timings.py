"""Timings that a fault gives to the controllers of a cluster."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from airkiln.failover import config
from rehearsal.chaos.faults import timings
from rehearsal.chaos.scenarios import limits
from rehearsal.deployment.cluster import Cluster


class Host:
    """A host with the one file that a controller reads."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.read: list[str] = []
        self.machine = self

    def execute(self, command: list[str], text: str | None = None) -> Any:  # noqa: ANN401 - as of a machine
        assert timings.PATH in command[-1]
        self.text = self.text if text is None else text
        return SimpleNamespace(stdout=self.text)

    def systemctl(self, *_: str) -> None:
        self.read.append(self.text)


def test_the_controllers_have_them_for_the_block_and_then_their_own_again(tmp_path: Path) -> None:
    path = tmp_path / "failover.toml"
    own = "# The image's.\nlease_ttl = 5\n"
    host = Host(own)
    cluster = cast("Cluster", SimpleNamespace(schedulers=[host]))
    with timings.timed(cluster, {"hung_timeout": limits.HUNG, "broker_timeout": limits.BROKER}):
        path.write_text(host.read[-1], encoding="utf-8")
        found = config.load(path)
        assert (found.lease_ttl, found.hung_timeout, found.broker_timeout) == (5, limits.HUNG, limits.BROKER)
    assert host.read[-1] == host.text == own


def test_each_limit_is_the_shortest_that_a_controller_accepts() -> None:
    least = {"hung_timeout": limits.HUNG, "broker_timeout": limits.BROKER}
    assert config.Timings(**least).problems() == []
    for key, seconds in least.items():
        assert config.Timings(**least | {key: seconds - 0.1}).problems()
