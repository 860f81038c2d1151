"""How a machine is started: who answers its names, and which devices it has."""

from __future__ import annotations

from pathlib import Path

import pytest

from rehearsal.linux import machine as module
from rehearsal.linux.addresses import DNS, RESOLVER
from rehearsal.linux.machine import Machine, Specification
from rehearsal.region import Region


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(Region, "home", property(lambda _: tmp_path))
    return Machine.create(Region("unit"), Specification("one", "10.42.1.1", "one", [str(tmp_path)]))


def test_names_are_asked_of_the_services_here_before_the_host(machine: Machine) -> None:
    script = machine._script(Path("/run/netns/one"))
    assert script.index(f"nameserver {RESOLVER}") < script.index(f"nameserver {DNS}")


@pytest.mark.parametrize("has", [True, False], ids=["with", "without"])
def test_automounts_are_supported_where_the_host_has_their_device(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has: bool
) -> None:
    device = tmp_path / "autofs"
    if has:
        device.touch()
    monkeypatch.setattr(module, "AUTOFS", device)
    assert (f"--bind={device}" in machine._script(Path("/run/netns/one"))) is has
