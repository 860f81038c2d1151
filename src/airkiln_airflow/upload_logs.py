"""Upload what killed tasks have left of their logs: `python -m airkiln_airflow.upload_logs`.

A task's supervisor uploads its log when the task ends, and empties or removes the file. A worker that is
killed leaves what its tasks had written so far; the last generation of a host uploads it when it has stopped
(ExecStopPost). Nothing is done where remote logging is off, and while another generation runs, whose logs are
still being written.

Always exits with 0: a log that is not uploaded holds nothing up.
"""

from __future__ import annotations

import fcntl
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import Protocol

MODULE = "airkiln_airflow.upload_logs"
LIMIT = 240.0
"""Seconds for all files: the end of an instance waits for them."""
GROUPS = Path("/sys/fs/cgroup/system.slice")
DEFAULT_FOLDER = "/var/log/airflow"

_LOG = re.compile(r"attempt=\d+\.log")
_UNIT = re.compile(r"airflow-worker@\d+\.service")
_AWS = ("s3://", "cloudwatch://")


class Remote(Protocol):
    """What is used of Airflow's RemoteLogIO."""

    def upload(self, path: str) -> None: ...  # noqa: D102 - Airflow describes it


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether task logs are stored outside this host."""
    return environment.get("AIRFLOW__LOGGING__REMOTE_LOGGING", "").strip().lower() in ("true", "t", "1")


def left_behind(folder: Path) -> Iterator[Path]:
    """Logs of tasks, below `folder`, that hold something."""
    for path in sorted(folder.glob("dag_id=*/**/attempt=*.log")):
        try:
            if _LOG.fullmatch(path.name) and path.stat().st_size > 0:
                yield path
        except FileNotFoundError:
            continue  # another generation's step was faster


def others_run(groups: Path = GROUPS, proc: Path = Path("/proc"), own: int | None = None) -> bool:
    """Whether another generation of the worker has a process that is more than this same step."""
    mine = _group(proc / str(own or os.getpid()))
    for procs in groups.glob("**/airflow-worker@*.service/**/cgroup.procs"):
        unit = next((part for part in procs.parts if _UNIT.fullmatch(part)), "")
        if unit == mine:
            continue
        try:
            pids = procs.read_text(encoding="ascii").split()
        except OSError:
            continue
        if any(MODULE not in _command(proc / pid) for pid in pids):
            return True
    return False


def _group(process: Path) -> str:
    try:
        found = _UNIT.search((process / "cgroup").read_text(encoding="utf-8"))
    except OSError:
        return ""
    return found[0] if found else ""


def _command(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return MODULE  # it has ended meanwhile


def upload(folder: Path, remote: Remote, clock: Callable[[], float] = time.monotonic) -> tuple[int, int]:
    """Upload every one; how many were, and how many failed or were not tried."""
    until = clock() + LIMIT
    done = failed = 0
    for path in left_behind(folder):
        if clock() > until:
            failed += 1
            continue
        try:
            remote.upload(str(path.relative_to(folder)))
            done += 1
        except Exception:  # of any storage: the next file is tried all the same
            failed += 1
    return done, failed


def main() -> int:
    """Run as a unit's step."""
    folder = Path(os.environ.get("AIRFLOW__LOGGING__BASE_LOG_FOLDER") or DEFAULT_FOLDER)
    if not wanted(os.environ) or next(left_behind(folder), None) is None or others_run():
        return 0
    try:
        with (folder / ".upload.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of two that ended together, the second finds nothing
            remote = _remote()
            if remote is None:
                return 0
            done, failed = upload(folder, remote)
    except Exception as error:
        # Only the kind: the text may hold a connection.
        _say(f"event=logs-not-uploaded reason={type(error).__name__}")
        return 0
    _say(f"event=logs-uploaded files={done} failed={failed} reason=their tasks were killed")
    return 0


def _remote() -> Remote | None:
    """The storage that Airflow is configured with.

    Its connection is the instance's own role where none is set by a variable: the tasks' supervisors get
    one from the task execution API with a task's token, and there is no task here.
    """
    if os.environ.get("AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER", "").startswith(_AWS):
        name = os.environ.get("AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID") or "aws_default"
        os.environ.setdefault(f"AIRFLOW_CONN_{name.upper()}", "aws://")
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "client"
    remote: Remote | None = resolve_name("airflow.sdk.log:load_remote_log_handler")()
    return remote


def _say(message: str) -> None:
    sys.stderr.write(f"{message}\n")


if __name__ == "__main__":
    sys.exit(main())
