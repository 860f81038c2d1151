"""What killed tasks have left of their logs, and when it is uploaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from airkiln_airflow import upload_logs
from airkiln_airflow.upload_logs import left_behind, others_run, upload, wanted

TASK = "dag_id=etl/run_id=manual__1/task_id=load"


class Storage:
    """Remote logs that empty the file, as S3's does."""

    def __init__(self, folder: Path, broken: str = "") -> None:
        self.folder, self.broken = folder, broken
        self.uploaded: list[str] = []

    def upload(self, path: str) -> None:
        if self.broken and self.broken in path:
            raise OSError(path)
        self.uploaded.append(path)
        (self.folder / path).write_text("")


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A killed task's log beside one that was uploaded, another component's and a running trigger's."""
    for path, text in {
        f"{TASK}/attempt=1.log": "",
        f"{TASK}/attempt=2.log": "half a",
        f"{TASK}/map_index=3/attempt=1.log": "half b",
        f"{TASK}/attempt=1.log.trigger.7.log": "goes on",
        "dag_processor/2026-11-21/etl.py.log": "goes on",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def group(root: Path, proc: Path, generation: int, **processes: str) -> None:
    """Processes (their ids after a p) of a generation, by what they run."""
    name = f"airflow-worker@{generation}.service"
    folder = root / "system-airflow\\x2dworker.slice" / name
    folder.mkdir(parents=True)
    (folder / "cgroup.procs").write_text("".join(f"{each[1:]}\n" for each in processes))
    for each, command in processes.items():
        (proc / each[1:]).mkdir(parents=True)
        (proc / each[1:] / "cgroup").write_text(f"0::/system.slice/x.slice/{name}\n")
        (proc / each[1:] / "cmdline").write_bytes(command.replace(" ", "\0").encode())


def test_only_tasks_logs_that_hold_something_are_left_behind(logs: Path) -> None:
    found = [str(path.relative_to(logs)) for path in left_behind(logs)]
    assert found == [f"{TASK}/attempt=2.log", f"{TASK}/map_index=3/attempt=1.log"]


def test_each_is_uploaded_once(logs: Path) -> None:
    storage = Storage(logs)
    assert upload(logs, storage) == (2, 0)
    assert upload(logs, storage) == (0, 0)
    assert len(storage.uploaded) == 2


def test_one_that_fails_does_not_keep_the_others(logs: Path) -> None:
    assert upload(logs, Storage(logs, broken="attempt=2")) == (1, 1)


def test_after_four_minutes_the_rest_is_given_up(logs: Path) -> None:
    times = iter([0.0, 1.0, 300.0])
    assert upload(logs, Storage(logs), clock=lambda: next(times)) == (1, 1)


def test_another_generation_that_runs_keeps_its_logs(tmp_path: Path) -> None:
    groups, proc = tmp_path / "groups", tmp_path / "proc"
    group(groups, proc, 1, p10="python -m airkiln_airflow.upload_logs")
    group(groups, proc, 2, p20="airflow celery worker", p21="airflow task supervisor")
    assert others_run(groups, proc, own=10)


def test_a_generation_that_uploads_as_well_is_none_that_runs(tmp_path: Path) -> None:
    groups, proc = tmp_path / "groups", tmp_path / "proc"
    group(groups, proc, 1, p10="python -m airkiln_airflow.upload_logs")
    group(groups, proc, 2, p20="python -m airkiln_airflow.upload_logs")
    group(groups, proc, 3)
    assert not others_run(groups, proc, own=10)


@pytest.mark.parametrize(
    ("value", "is_wanted"), [("True", True), ("true", True), ("1", True), ("False", False), ("", False)]
)
def test_without_remote_logging_nothing_is_uploaded(value: str, is_wanted: bool) -> None:
    assert wanted({"AIRFLOW__LOGGING__REMOTE_LOGGING": value}) is is_wanted
    assert not wanted({})


def test_the_step_uploads_and_never_fails(
    logs: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRFLOW__LOGGING__REMOTE_LOGGING", "True")
    monkeypatch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(logs))
    monkeypatch.setattr(upload_logs, "others_run", lambda: False)
    monkeypatch.setattr(upload_logs, "_remote", lambda: Storage(logs, broken="attempt=2"))
    assert upload_logs.main() == 0
    assert "event=logs-uploaded files=1 failed=1" in capfd.readouterr().err

    def fail() -> None:
        raise ImportError("KANARI")

    monkeypatch.setattr(upload_logs, "_remote", fail)
    assert upload_logs.main() == 0
    said = capfd.readouterr().err
    assert "event=logs-not-uploaded reason=ImportError" in said
    assert "KANARI" not in said


def test_while_another_generation_runs_the_step_does_nothing(
    logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__LOGGING__REMOTE_LOGGING", "True")
    monkeypatch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(logs))
    monkeypatch.setattr(upload_logs, "others_run", lambda: True)
    monkeypatch.setattr(upload_logs, "_remote", lambda: pytest.fail("must not be asked"))
    assert upload_logs.main() == 0
