"""What ends the faults whose command was killed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from rehearsal.aws import fault_client
from rehearsal.chaos.faults import by_name, clocks, database, network, zones
from rehearsal.deployment.host import Host
from rehearsal.linux.machine import Machine
from rehearsal.region import Region

HOST = Host(Region("unit"), "i-0aa1", "10.42.1.1")


def test_healing_ends_every_fault_that_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def note(owner: object, name: str, *wanted: int) -> None:
        def act(*given: object) -> None:
            done.append(" ".join([name, *(str(given[at]) for at in wanted)]))

        monkeypatch.setattr(owner, name, act)

    for owner, label in ((zones, "zones"), (network, "network"), (clocks, "clocks")):
        monkeypatch.setattr(owner, "heal", lambda _, label=label: done.append(label))
    note(fault_client, "metadata_away", 0, 1)
    note(fault_client, "throttle", 0, 1)
    note(database, "usual_logins")
    monkeypatch.setattr(Machine, "running", lambda _: True)
    monkeypatch.setattr(Machine, "execute", lambda _, command: done.append(" ".join(command)))
    by_name.heal(Region("unit"), [HOST])
    assert done == [
        "zones",
        "network",
        "clocks",
        "metadata_away 10.42.1.1 0",
        *(f"throttle {service} 0" for service in by_name.THROTTLED),
        "systemctl start postgresql@17-main.service",
        "usual_logins",
    ]


@pytest.mark.parametrize(("found", "removed"), [("", 0), ("/etc/systemd/system/x", 1)])
def test_a_clock_that_is_right_restarts_nothing(
    found: str, removed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[str] = []

    def execute(_: Machine, command: list[str], **__: object) -> SimpleNamespace:
        commands.append(command[0])
        return SimpleNamespace(stdout=found)

    monkeypatch.setattr(Machine, "execute", execute)
    clocks.heal(HOST)
    assert commands.count("rm") == removed
    assert commands.count("systemctl") == 2 * removed
