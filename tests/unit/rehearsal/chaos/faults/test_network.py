"""Which packets a fault drops."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from rehearsal.chaos.faults import network
from rehearsal.deployment.host import Host


@pytest.mark.parametrize("mount", ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"])
def test_a_units_packets_are_known_by_its_control_group_at_its_depth(
    monkeypatch: pytest.MonkeyPatch, mount: str
) -> None:
    monkeypatch.setattr(network, "hierarchies", lambda: [Path(mount), Path("/sys/fs/cgroup/systemd")])
    group = Path(mount) / "airkiln/machine-i-1/payload/system.slice/a.service"
    host = cast("Host", SimpleNamespace(unit_group=lambda _: group))
    below = group.relative_to("/sys/fs/cgroup")
    assert network.of_unit(host, "a.service") == f'socket cgroupv2 level 5 "{below}"'
