"""Old rows of the metadata database are removed where the scheduler runs, without anybody's doing."""

from __future__ import annotations

import pytest
import yaml

from tests.unit.roles.rendering import ROLES, render


@pytest.mark.parametrize("role", ["scheduler", "all"])
def test_scheduler_hosts_remove_old_rows(role: str) -> None:
    tasks = yaml.safe_load((ROLES / "retention/tasks/service.yml").read_text(encoding="utf-8"))
    (written,) = [task for task in tasks if "30-retention.conf" in str(task)]
    assert f"airkiln-{role}.target" in written["loop"]
    assert "Wants=airkiln-retention.timer" in render("retention", "airkiln-role.target.d/30-retention.conf")
    timer = render("retention", "airkiln-retention.timer")
    assert "OnUnitInactiveSec=" in timer
    assert "database clean" in render("retention", "airkiln-retention.service")
