"""Commands as a person types them, from the command line to what they print and how they end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from airkiln import cli
from airkiln.autoscale import commands as autoscale
from airkiln.boot import stack_signal
from airkiln.database import controller
from airkiln.errors import FAILED, OK, REFUSED
from airkiln.host.layout import Layout
from tests.unit.airkiln.autoscale.fakes import FakeCloud, FakeDatabase, queued, running
from tests.unit.airkiln.boot.known_metadata import Metadata
from tests.unit.airkiln.boot.test_stack_signal import Machine
from tests.unit.airkiln.simulation.test_history import FakeDatabase as FakeHistory

DATABASE = "postgresql+psycopg2://airflow:Tq7-xw@db.example/airflow"


@pytest.fixture
def login(monkeypatch: pytest.MonkeyPatch) -> None:
    """The controller's login, as systemd gives it to a unit."""
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", DATABASE)
    monkeypatch.setenv(controller.PASSWORD, "orange-lamp-9")


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """An instance that a stack waits for, as `airkiln signal` finds it."""
    machine = Machine()
    made = partial(
        stack_signal.Signal,
        Layout(Path("/nowhere")),
        lambda _: Metadata(machine.metadata),
        machine,
        machine._client,
        machine._sleep,
    )
    monkeypatch.setattr(stack_signal, "Signal", made)
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    return machine


def test_signal_tells_the_stack_of_a_healthy_role(
    instance: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["signal"]) == OK
    assert [each["Status"] for each in instance.signals] == ["SUCCESS"]
    assert "airkiln-prod-webserver" in capsys.readouterr().err


def test_signal_fails_where_the_role_did(instance: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    instance.states["airflow-webserver.service"] = "failed"
    assert cli.run(["signal"]) == FAILED
    assert [each["Status"] for each in instance.signals] == ["FAILURE"]
    assert "the role webserver did not become healthy" in capsys.readouterr().err


def test_signal_is_well_where_no_stack_waits(instance: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert instance.metadata is not None
    del instance.metadata["meta-data/tags/instance/airkiln:signal"]
    assert cli.run(["signal"]) == OK
    assert instance.signals == []
    assert "no stack waits for this instance" in capsys.readouterr().err


class Pools:
    """A host of the environment `prod` with one pool, and what its commands reach."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.layout.run_env.parent.mkdir(parents=True)
        self.layout.run_env.write_text('AIRKILN_POOLS="{\\"default\\": {\\"slots\\": 4}}"\n')
        self.layout.instance_json.write_text(
            json.dumps({"instance_id": "i-9", "region": "eu-west-1", "environment": "prod"})
        )
        self.cloud = FakeCloud()
        self.cloud.add("airkiln-prod-worker-default", 2, most=5)
        self.database = FakeDatabase([queued(9, oldest=3.0), running(2, "10.0.0.1")])
        self.asked: list[tuple[object, ...]] = []
        self.closed = 0

    def make_database(self, keywords: dict[str, str], host: str) -> Pools:
        self.asked.append((keywords["user"], keywords["host"], host))
        return self

    def make_cloud(self, region: str | None) -> FakeCloud:
        self.asked.append((region,))
        return self.cloud

    def leads(self) -> bool:
        return self.database.leads()

    def count(self) -> object:
        return self.database.count()

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def pools(tmp_path: Path, login: None, monkeypatch: pytest.MonkeyPatch) -> Pools:
    pools = Pools(tmp_path)
    monkeypatch.setattr(autoscale, "Layout", lambda: pools.layout)
    monkeypatch.setattr(autoscale, "Database", pools.make_database)
    monkeypatch.setattr(autoscale, "Amazon", pools.make_cloud)
    return pools


def test_autoscale_status_shows_the_pools_of_this_hosts_environment(
    pools: Pools, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["autoscale", "status"]) == OK
    out = capsys.readouterr().out
    assert "pool     default: 9 queued (the oldest for 3 s), 2 running, 4 slots a worker" in out
    assert "  group    2 of 0 to 5 workers, 3 wanted: scale-out" in out
    assert ("airkiln_controller", "db.example", "i-9") in pools.asked
    assert ("eu-west-1",) in pools.asked
    assert (pools.cloud.calls, pools.closed) == ([], 1)


def test_autoscale_status_as_json(pools: Pools, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["autoscale", "status", "--json"]) == OK
    found = json.loads(capsys.readouterr().out)
    assert (found["environment"], found["leads"]) == ("prod", True)
    assert [(pool["pool"], pool["wanted"]) for pool in found["pools"]] == [("default", 3)]


def test_autoscale_status_is_refused_outside_an_environment(
    pools: Pools, capsys: pytest.CaptureFixture[str]
) -> None:
    pools.layout.instance_json.unlink()
    assert cli.run(["autoscale", "status"]) == REFUSED
    assert "only an instance of one has pools" in capsys.readouterr().err
    assert pools.asked == []


SETTINGS = """\
[pools.default]
slots = 2
"""


@pytest.fixture
def history(login: None, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What a database is asked that holds three task instances of the queue `default`."""
    database = FakeHistory([("default", 1_700_000_000.0 + 60 * number, 30.0) for number in range(3)])

    @contextmanager
    def connect(keywords: dict[str, str]) -> Iterator[FakeHistory]:
        database.asked.append((keywords["user"], keywords["host"]))
        yield database

    monkeypatch.setattr("airkiln.database.connect.connect", connect)
    return database.asked


def test_autoscale_simulate_replays_the_databases_tasks(
    history: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "small.toml"
    settings.write_text(SETTINGS)
    arguments = ["--database", "--settings", str(settings), "--since", "2023-11-14T00:00:00Z", "--json"]
    assert cli.run(["autoscale", "simulate", *arguments]) == OK
    outcomes = json.loads(capsys.readouterr().out)["outcomes"]
    assert {each["tasks"] for each in outcomes} == {3}
    assert ("airkiln_controller", "db.example") in history
    assert "SET TRANSACTION READ ONLY" in history
    assert [each[1] for each in history if isinstance(each, tuple) and isinstance(each[1], tuple)] == [
        (1_699_920_000.0,)
    ]
