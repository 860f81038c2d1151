"""Control groups on a tree of files that has the shape of the kernel's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rehearsal.linux.cgroups import ControlGroup
from rehearsal.region import Region

REGION = Region("unit")


@pytest.fixture
def of_processor(cgroup_root: Path) -> Path:
    """v1's controller of the processor beside it."""
    folder = cgroup_root / "cpu"
    folder.mkdir()
    (folder / "cpu.shares").write_text("1024\n")
    return folder


def starts_with(nice: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpriority", lambda *_: nice)


@pytest.mark.parametrize(("nice", "shares"), [(8, 172), (12, 70)])
def test_a_rehearsal_started_with_nice_gives_way_as_a_whole(
    of_processor: Path, monkeypatch: pytest.MonkeyPatch, nice: int, shares: int
) -> None:
    starts_with(nice, monkeypatch)
    script = ControlGroup(REGION, "machine-one").join_commands()
    group = of_processor / REGION.namespace
    assert int((group / "cpu.shares").read_text()) == shares
    assert f"echo $$ > {group}/machine-one/cgroup.procs\n" in script


def test_any_other_leaves_the_processor_to_the_kernel(
    of_processor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts_with(0, monkeypatch)
    script = ControlGroup(REGION, "machine-one").join_commands()
    assert str(of_processor) not in script
    assert not (of_processor / REGION.namespace).exists()


@pytest.mark.parametrize("nice", [0, 8])
def test_in_version_2_the_weight_is_that_of_the_nice_value(
    cgroup_root: Path, monkeypatch: pytest.MonkeyPatch, nice: int
) -> None:
    starts_with(nice, monkeypatch)
    weight = cgroup_root / "unified" / REGION.namespace / "cpu.weight.nice"
    weight.parent.mkdir()
    weight.write_text("5\n")
    ControlGroup(REGION, "daemon").create()
    assert int(weight.read_text()) == nice


def test_the_group_is_removed_from_every_hierarchy(
    of_processor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts_with(8, monkeypatch)
    ControlGroup(REGION, "daemon").create()
    (of_processor / REGION.namespace / "cpu.shares").unlink()  # the kernel's files go with their folder
    whole = ControlGroup(REGION)
    assert len(whole.existing()) == 2
    whole.end()
    assert whole.existing() == []
