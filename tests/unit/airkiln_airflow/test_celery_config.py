"""What a worker does besides Airflow's own Celery configuration, with signals that the test sends."""

from __future__ import annotations

import importlib.util
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.pool import NullPool

SOURCE = Path(__file__).parents[3] / "src/airkiln_airflow/celery_config.py"
SIGNALS = ("celeryd_init", "task_postrun", "task_prerun", "worker_ready")
TASK = {"dag_id": "etl", "run_id": "manual__1", "task_id": "load", "map_index": -1}


class Signal:
    """One of Celery's signals."""

    def __init__(self) -> None:
        self.receivers: list[Callable[..., None]] = []

    def connect(self, receiver: Callable[..., None]) -> Callable[..., None]:
        self.receivers.append(receiver)
        return receiver

    def send(self, **given: object) -> None:
        for receiver in self.receivers:
            receiver(**given)


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Signal]:
    """Celery's signals, when a worker has loaded its configuration. Neither it nor Airflow is installed."""
    made = {name: Signal() for name in SIGNALS}
    stubs: dict[str, dict[str, object]] = {
        "jwt": {},
        "airflow.configuration": {"conf": None},
        "airflow.providers.celery.executors.default_celery": {"DEFAULT_CELERY_CONFIG": {}},
        "celery.exceptions": {"Ignore": Exception},
        "celery.signals": dict(made),
    }
    for name, attributes in stubs.items():
        module = ModuleType(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    specification = importlib.util.spec_from_file_location("celery_config_here", SOURCE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module.outage, "shorten", lambda _: None)
    return made


def test_a_workers_processes_keep_no_connection_to_the_database(signals: dict[str, Signal]) -> None:
    backend = SimpleNamespace(always_retry=False, engine_options={"pool_pre_ping": True})
    conf = SimpleNamespace(result_backend_always_retry=False, database_engine_options=None)
    app: Any = SimpleNamespace(conf=conf, backend=backend)
    signals["celeryd_init"].send(instance=SimpleNamespace(app=app))
    assert conf.database_engine_options == {"poolclass": NullPool}
    assert backend.engine_options == {"pool_pre_ping": True, "poolclass": NullPool}
    assert (conf.result_backend_always_retry, backend.always_retry) == (True, True)


def test_a_worker_whose_results_are_in_redis_starts_with_the_rest_of_it(signals: dict[str, Signal]) -> None:
    backend = SimpleNamespace(always_retry=False)
    conf = SimpleNamespace(result_backend_always_retry=False, database_engine_options=None)
    trace = logging.getLogger("celery.app.trace")
    before = len(trace.filters)
    signals["celeryd_init"].send(instance=SimpleNamespace(app=SimpleNamespace(conf=conf, backend=backend)))
    assert backend.always_retry
    assert len(trace.filters) == before + 1


def test_a_worker_writes_what_it_runs_for_as_long_as_it_runs(
    signals: dict[str, Signal], tmp_path: Path
) -> None:
    signals["task_prerun"].send(args=[json.dumps({"ti": TASK, "token": "KANARI"})])
    (path,) = tmp_path.iterdir()
    assert json.loads(path.read_text()) == TASK
    signals["task_postrun"].send()
    assert list(tmp_path.iterdir()) == []
