"""`airkiln autoscale status`: what it shows, and that it changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airkiln.autoscale.commands import describe, read_status
from airkiln.autoscale.settings import Settings
from airkiln.cli import run
from airkiln.errors import USAGE
from airkiln.host.layout import Layout
from tests.unit.airkiln.autoscale.fakes import FakeCloud, FakeDatabase, queued, running

POOLS = '{\\"default\\": {\\"slots\\": 4}, \\"batch\\": {\\"slots\\": 1}}'


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    found = Layout(tmp_path)
    found.run_env.parent.mkdir(parents=True)
    found.run_env.write_text(f'AIRKILN_POOLS="{POOLS}"\n')
    return found


def test_it_shows_every_pool_and_changes_nothing(layout: Layout) -> None:
    cloud = FakeCloud()
    cloud.add("airkiln-prod-worker-default", 2, most=5)
    database = FakeDatabase([queued(9, oldest=3.0), running(2, "10.0.0.1"), queued(1, "gpu")])
    found = read_status("prod", Settings(layout), database, cloud)
    assert cloud.calls == []
    default, batch = found["pools"]
    assert (default["queued"], default["running"], default["wanted"]) == (9, 2, 3)
    assert (default["decision"], default["capacity"]) == ("scale-out", 3)
    assert [each["running"] for each in default["group"]["instances"]] == [2, 0]
    assert (batch["group"], batch["decision"], batch["wanted"]) == (None, "unknown", None)
    assert found["without_pool"] == {"gpu": 1}
    json.dumps(found)
    text = describe(found)
    assert "pool     default: 9 queued (the oldest for 3 s), 2 running, 4 slots a worker" in text
    assert "worker   i-1 10.0.0.1: InService, 2 running" in text
    assert "no pool  gpu: 1 queued" in text


def test_an_action_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as usage:
        run(["autoscale"])
    assert usage.value.code == USAGE
    assert "ACTION" in capsys.readouterr().err
