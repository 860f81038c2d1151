"""How a machine is started: who answers its names, and which devices it has."""

from __future__ import annotations

from pathlib import Path

import pytest

from rehearsal.errors import RehearsalError
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


class TestFreezing:
    """By its control group (cgroup.freeze, cgroup.events: the kernel's cgroup-v2.rst)."""

    @pytest.fixture
    def group(self, machine: Machine, tmp_path: Path) -> Path:
        folder = tmp_path / "group"
        folder.mkdir()
        (folder / "cgroup.events").write_text("populated 1\nfrozen 1\n")
        machine._group.folders = [folder]
        return folder

    def test_it_lasts_for_the_block_however_that_ends(self, machine: Machine, group: Path) -> None:
        def fail() -> None:
            with machine.frozen():
                assert (group / "cgroup.freeze").read_text() == "1"
                raise ValueError("copying")

        with pytest.raises(ValueError, match="copying"):
            fail()
        assert (group / "cgroup.freeze").read_text() == "0"

    def test_one_that_does_not_stop_is_an_error_and_continues(self, machine: Machine, group: Path) -> None:
        (group / "cgroup.events").write_text("populated 1\nfrozen 0\n")
        with pytest.raises(RehearsalError, match="one is frozen"):
            machine.freeze(0)
        machine.thaw()
        assert (group / "cgroup.freeze").read_text() == "0"

    def test_one_that_is_off_has_nothing_to_thaw(self, machine: Machine, group: Path) -> None:
        machine.thaw()
        assert not (group / "cgroup.freeze").exists()
