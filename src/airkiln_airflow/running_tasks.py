"""Which task instances a worker runs, for the drain that has to clear them (airkiln.lifecycle.running).

Each process of the worker that runs a task writes a file in the unit's runtime directory, named by its
process id, and removes it when the task has ended. What a killed worker has left stays until the next one
starts. Airflow's REST API has no filter by host: without these files a drain would page through everything
that runs anywhere.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DIRECTORY = "RUNTIME_DIRECTORY"
"""The variable in which systemd names the unit's runtime directory."""
SUFFIX = ".json"
NAMES = ("dag_id", "run_id", "task_id", "map_index")


def forget_all(environment: Mapping[str, str] = os.environ) -> None:
    """Remove what an earlier run of this unit has left: its tasks ended with it."""
    directory = environment.get(DIRECTORY)
    if directory:
        for path in Path(directory).glob(f"*{SUFFIX}"):
            path.unlink(missing_ok=True)


def record(message: str, environment: Mapping[str, str] = os.environ) -> None:
    """Write the task instance of a message, if it has one: an executor's callback has none.

    :param message: the workload as Airflow's Celery executor sends it, JSON.
    """
    path = _path(environment)
    task: Any = json.loads(message).get("ti")
    if path is None or task is None:
        return
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps({name: task[name] for name in NAMES}), encoding="utf-8")
    unfinished.chmod(0o644)  # the drain runs as root without the capability to read other users' files
    unfinished.replace(path)


def forget(environment: Mapping[str, str] = os.environ) -> None:
    """Remove what this process has written."""
    path = _path(environment)
    if path is not None:
        path.unlink(missing_ok=True)


def _path(environment: Mapping[str, str]) -> Path | None:
    directory = environment.get(DIRECTORY)
    return Path(directory) / f"{os.getpid()}{SUFFIX}" if directory else None
