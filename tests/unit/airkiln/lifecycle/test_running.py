"""What the workers say that they run, written by one program and read by the other."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from airkiln.lifecycle import running
from airkiln.lifecycle.airflow_api import Task
from airkiln_airflow import running_tasks

TASK = Task("etl", "manual__2026-11-25T00:00:00+00:00", 'lo"ad', 4)


def message(task: Task = TASK) -> str:
    """A workload as the Celery executor sends it."""
    named = {"dag_id": task.dag, "run_id": task.run, "task_id": task.task, "map_index": task.index}
    return json.dumps({"type": "ExecuteTask", "token": "KANARI", "ti": named | {"id": "0193"}})


def worker(run: Path, generation: int) -> dict[str, str]:
    """The environment of a generation of the worker."""
    directory = run / str(generation)
    directory.mkdir(exist_ok=True)
    return {"RUNTIME_DIRECTORY": str(directory)}


def written(run: Path, name: str, text: str) -> None:
    worker(run, 1)
    (run / "1" / name).write_text(text, encoding="utf-8")


def test_what_a_worker_writes_the_drain_reads(tmp_path: Path) -> None:
    running_tasks.record(message(), worker(tmp_path, 1))
    assert running.tasks(run=tmp_path) == [TASK]


def test_others_may_read_it_and_it_holds_no_token(tmp_path: Path) -> None:
    running_tasks.record(message(), worker(tmp_path, 1))
    (path,) = (tmp_path / "1").iterdir()
    assert path.stat().st_mode & 0o777 == 0o644
    assert "KANARI" not in path.read_text()


def test_a_task_that_has_ended_is_forgotten(tmp_path: Path) -> None:
    environment = worker(tmp_path, 1)
    running_tasks.record(message(), environment)
    running_tasks.forget(environment)
    running_tasks.forget(environment)
    assert running.tasks(run=tmp_path) == []


def test_a_worker_that_starts_forgets_what_the_last_one_ran(tmp_path: Path) -> None:
    written(tmp_path, "77.json", (json.dumps(json.loads(message())["ti"])))
    assert running.tasks(run=tmp_path) == [TASK]
    running_tasks.forget_all(worker(tmp_path, 1))
    assert running.tasks(run=tmp_path) == []


def test_a_callback_is_no_task_and_without_a_directory_nothing_is_written(tmp_path: Path) -> None:
    running_tasks.record(json.dumps({"type": "ExecuteCallback"}), worker(tmp_path, 1))
    running_tasks.record(message(), {})
    running_tasks.forget({})
    running_tasks.forget_all({})
    assert running.tasks(run=tmp_path) == []


def test_generations_are_told_apart(tmp_path: Path) -> None:
    others = Task("etl", "manual__2", "load", -1)
    running_tasks.record(message(), worker(tmp_path, 1))
    running_tasks.record(message(others), worker(tmp_path, 2))
    assert running.tasks((2,), tmp_path) == [others]
    assert running.tasks((3,), tmp_path) == []
    assert running.tasks(None, tmp_path) == [TASK, others]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"dag_id": "a", "run_id": "b", "task_id": "c"}',
        '{"dag_id": "a", "run_id": "b", "task_id": "", "map_index": -1}',
        '{"dag_id": "a", "run_id": 3, "task_id": "c", "map_index": -1}',
        '{"dag_id": "a", "run_id": "b", "task_id": "c", "map_index": "0/../.."}',
        '{"dag_id": "a", "run_id": "b", "task_id": "c", "map_index": true}',
        json.dumps({"dag_id": "a" * 9000, "run_id": "b", "task_id": "c", "map_index": -1}),
    ],
)
def test_what_is_no_task_instance_is_left_out(tmp_path: Path, text: str) -> None:
    written(tmp_path, "1.json", text)
    assert running.tasks(run=tmp_path) == []


def test_the_drain_follows_no_link_and_waits_for_no_fifo(tmp_path: Path) -> None:
    directory = Path(worker(tmp_path, 1)["RUNTIME_DIRECTORY"])
    secret = tmp_path / "secret"
    secret.write_text(json.dumps(json.loads(message())["ti"]))
    (directory / "1.json").symlink_to(secret)
    os.mkfifo(directory / "2.json")
    (directory / "3.json").mkdir()
    assert running.tasks(run=tmp_path) == []


def test_a_task_cannot_keep_the_drain_busy_with_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "MOST_TASKS", 3)
    for number in range(20):
        written(
            tmp_path,
            f"{number}.json",
            json.dumps(json.loads(message(Task("d", "r", f"t{number}", -1)))["ti"]),
        )
    assert 0 < len(running.tasks(run=tmp_path)) <= 3
