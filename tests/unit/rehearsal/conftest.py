"""Unit tests of the rehearsal make no control group of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from rehearsal.linux import cgroups


@pytest.fixture(autouse=True)
def cgroup_root(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A v2 hierarchy without controllers, as on a host that uses v1 for them."""
    root = tmp_path_factory.mktemp("cgroup")
    (root / "unified").mkdir()
    for name in ("cgroup.procs", "cgroup.controllers"):
        (root / "unified" / name).write_text("")
    monkeypatch.setattr(cgroups, "CGROUP_ROOT", root)
    monkeypatch.setattr(cgroups, "CPU", root / "cpu")
    return root
