"""A worker's boot and reload: its pool, its limits, its generations."""

from __future__ import annotations

import json
import stat

import pytest

from airkiln.errors import AirkilnError, RefusedError
from airkiln.host.instance import Instance
from airkiln.host.layout import Layout
from airkiln.lifecycle.model import Stage, Unit
from airkiln.pools import workers
from airkiln.pools.model import Pool
from airkiln.roles import EXECUTOR
from airkiln.systemd import envfile
from tests.unit.airkiln.boot.test_boot import Machine

POOLS = {
    "default": {"slots": 4},
    "heavy": {"slots": 2, "queues": ["big", "bigger"], "drain_limit": 86400},
}


@pytest.fixture
def worker(machine: Layout) -> Machine:
    """A worker of the pool `heavy`, whose machine has systemd's folder."""
    machine.runtime_units.mkdir(parents=True)
    instance = Machine(machine)
    instance.found = Instance("i-1", "eu-west-1", "worker", "prod", "heavy")
    instance.source.values |= {EXECUTOR: "CeleryExecutor", "AIRKILN_POOLS": json.dumps(POOLS)}
    return instance


def reload_with(worker: Machine, *units: Unit, **changed: str) -> list[tuple[str, ...]]:
    """What a reload asks of systemd after these variables have changed."""
    worker.boot().start()
    worker.commands.clear()
    worker.workers = list(units)
    worker.source.values |= changed
    worker.boot().reload()
    return worker.commands


def test_a_worker_has_its_pools_queues_and_slots(worker: Machine) -> None:
    worker.boot().start()
    found = envfile.read(worker.layout.run_env)
    assert found["AIRKILN_QUEUES"] == "big,bigger"
    assert found["AIRFLOW__CELERY__WORKER_CONCURRENCY"] == "2"
    assert json.loads(worker.layout.instance_json.read_text())["pool"] == "heavy"


def test_without_a_tag_the_pool_is_the_default_one(worker: Machine) -> None:
    worker.found = Instance("i-1", "eu-west-1", "worker", "prod")
    worker.boot().start()
    assert envfile.read(worker.layout.run_env)["AIRKILN_QUEUES"] == "default"


def test_without_pools_airflows_own_settings_hold(worker: Machine) -> None:
    del worker.source.values["AIRKILN_POOLS"]
    worker.found = Instance("i-1", "eu-west-1", "worker", "prod")
    worker.source.values |= {
        "AIRFLOW__CELERY__WORKER_CONCURRENCY": "7",
        "AIRFLOW__OPERATORS__DEFAULT_QUEUE": "main",
    }
    worker.boot().start()
    found = envfile.read(worker.layout.run_env)
    assert (found["AIRKILN_QUEUES"], found["AIRFLOW__CELERY__WORKER_CONCURRENCY"]) == ("main", "7")


def test_boot_toml_may_name_the_pool(worker: Machine) -> None:
    worker.override('pool = "default"\n')
    worker.boot().start()
    assert envfile.read(worker.layout.run_env)["AIRKILN_QUEUES"] == "default"


def test_a_pool_that_nobody_named_starts_nothing(worker: Machine) -> None:
    worker.found = Instance("i-1", "eu-west-1", "worker", "prod", "gone")
    with pytest.raises(RefusedError, match="'gone'"):
        worker.boot().start()
    assert worker.commands == []
    assert not worker.layout.run_env.exists()


@pytest.mark.parametrize(("role", "executor"), [("scheduler", "CeleryExecutor"), ("all", "LocalExecutor")])
def test_where_no_worker_runs_nothing_is_derived(worker: Machine, role: str, executor: str) -> None:
    worker.found = Instance("i-1", "eu-west-1", role, "prod", "gone")
    worker.source.values[EXECUTOR] = executor
    worker.boot().start()
    assert "AIRKILN_QUEUES" not in envfile.read(worker.layout.run_env)


def test_a_pools_own_limit_holds_for_the_worker_and_for_a_shutdown(worker: Machine) -> None:
    worker.boot().start()
    folder = worker.layout.runtime_units
    unit = folder / "airflow-worker@.service.d/50-pool.conf"
    assert "[Service]\nTimeoutStopSec=86400\n" in unit.read_text()
    assert "[Unit]\nJobTimeoutSec=88200\n" in (folder / "poweroff.target.d/50-pool.conf").read_text()
    assert stat.S_IMODE(unit.stat().st_mode) == 0o644
    assert stat.S_IMODE(unit.parent.stat().st_mode) == 0o755
    assert worker.commands == [("daemon-reload",), ("start", "--no-block", "airkiln-worker.target")]


def test_systemd_is_not_asked_to_read_again_what_did_not_change(worker: Machine) -> None:
    worker.boot().start()
    worker.commands.clear()
    worker.boot().start()
    assert worker.commands == [("start", "--no-block", "airkiln-worker.target")]


def test_the_images_own_limit_needs_no_drop_in_and_takes_one_back(worker: Machine) -> None:
    worker.boot().start()
    worker.override('pool = "default"\n')
    worker.commands.clear()
    worker.boot().start()
    assert worker.commands[0] == ("daemon-reload",)
    assert [path for path in worker.layout.runtime_units.rglob("*") if path.is_file()] == []


def test_a_limit_that_cannot_be_written_is_a_failure(worker: Machine) -> None:
    worker.layout.runtime_units.rmdir()
    worker.layout.runtime_units.write_text("")
    with pytest.raises(AirkilnError, match="drain_limit would not hold"):
        worker.boot().start()


def test_the_images_limit_is_the_pools_default() -> None:
    assert workers.IMAGE_LIMIT == Pool("default", 1, ("default",)).drain_limit == 12 * 3600


def test_a_reload_starts_the_next_generation_and_restarts_none(worker: Machine) -> None:
    assert reload_with(worker, Unit(1, Stage.RUNNING), SOMETHING="1") == [
        ("start", "--no-block", "airflow-worker@2.service"),
        ("start", "--no-block", "airkiln-worker.target"),
    ]
    assert worker.layout.worker_generation.read_text() == "2\n"


def test_a_generation_that_still_drains_keeps_its_number(worker: Machine) -> None:
    units = Unit(1, Stage.STOPPING), Unit(2, Stage.RUNNING), Unit(3, Stage.ENDED, failed=True)
    assert reload_with(worker, *units, SOMETHING="1")[0][-1] == "airflow-worker@4.service"


@pytest.mark.parametrize("units", [(), (Unit(1, Stage.STOPPING),), (Unit(1, Stage.ENDED),)])
def test_where_no_worker_takes_tasks_a_reload_starts_none(worker: Machine, units: tuple[Unit, ...]) -> None:
    commands = reload_with(worker, *units, SOMETHING="1")
    assert commands == [("start", "--no-block", "airkiln-worker.target")]
    assert not worker.layout.worker_generation.exists()


def test_what_a_worker_does_not_read_leaves_it_alone(worker: Machine) -> None:
    changed = {"AIRFLOW__TRIGGERER__CAPACITY": "9"}
    commands = reload_with(worker, Unit(1, Stage.RUNNING), **changed)
    assert commands == [("start", "--no-block", "airkiln-worker.target")]


def test_another_pools_settings_leave_a_worker_alone(worker: Machine) -> None:
    other = {"AIRKILN_POOLS": json.dumps(POOLS | {"default": {"slots": 9}})}
    commands = reload_with(worker, Unit(1, Stage.RUNNING), **other)
    assert commands == [("start", "--no-block", "airkiln-worker.target")]


def test_its_own_pools_queues_start_the_next_generation(worker: Machine) -> None:
    own = {"AIRKILN_POOLS": json.dumps(POOLS | {"heavy": {"slots": 2, "drain_limit": 86400}})}
    commands = reload_with(worker, Unit(1, Stage.RUNNING), **own)
    assert commands[0] == ("start", "--no-block", "airflow-worker@2.service")
