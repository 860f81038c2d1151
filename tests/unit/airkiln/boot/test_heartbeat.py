"""The scheduler's heartbeat at boot: refused where the failover controller's timings contradict it."""

from __future__ import annotations

import pytest

from airkiln.errors import RefusedError
from airkiln.failover.config import HEARTBEAT
from airkiln.host.instance import Instance
from airkiln.host.layout import Layout
from tests.unit.airkiln.boot.test_boot import Machine


@pytest.fixture
def instance(machine: Layout) -> Machine:
    return Machine(machine)


@pytest.fixture
def gated(instance: Machine) -> Machine:
    """A scheduler host with a failover controller."""
    for path in (instance.layout.failover_gate, instance.layout.failover_toml):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return instance


def test_a_heartbeat_that_the_failover_controller_would_refuse_is_refused(gated: Machine) -> None:
    gated.source.values[HEARTBEAT] = "30"
    with pytest.raises(RefusedError, match=f"two heartbeats of 30 s.*{HEARTBEAT}"):
        gated.boot().start()
    assert gated.commands == []
    gated.layout.failover_toml.write_text("stuck_timeout = 60\n")
    gated.boot().start()
    assert gated.commands


@pytest.mark.parametrize("role", ["webserver", "all"])
def test_a_host_without_a_controller_takes_any_heartbeat(gated: Machine, role: str) -> None:
    gated.source.values[HEARTBEAT] = "30"
    gated.found = Instance("i-1", "eu-west-1", role, "prod")
    gated.boot().start()
    assert gated.commands


def test_schedulers_without_a_controller_take_any_heartbeat(instance: Machine) -> None:
    instance.source.values[HEARTBEAT] = "30"
    instance.boot().start()
    assert instance.commands
