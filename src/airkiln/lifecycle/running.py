"""The task instances that the workers of this host run, as the workers write them.

airkiln_airflow.running_tasks writes a file for each. Tasks run as the same user as the worker, so that these
files are what a task wants them to be: they are read with care, and name only candidates. What is cleared
must run on this host by what Airflow's database says (clearing.py). They have a small file system of their
own (run-airflow-worker.mount), so that a task cannot fill /run.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from airkiln.lifecycle.airflow_api import Task

RUN = Path("/run/airflow/worker")
"""The folder of the runtime directories of airflow-worker@<generation>.service, named by generation."""
MOST_TASKS = 1000
"""Of one generation: the largest number of slots that a pool may have (airkiln.pools.settings)."""
MOST_BYTES = 8192
"""Of one file. Airflow's names have at most 250 characters each."""


def tasks(generations: Iterable[int] | None = None, run: Path = RUN) -> list[Task]:
    """The task instances that generations of the worker run; None: every generation."""
    if generations is None:
        directories = sorted(run.glob("*"))
    else:
        directories = [run / str(generation) for generation in generations]
    found = [task for directory in directories for task in islice(_of(directory), MOST_TASKS)]
    return list(dict.fromkeys(found))


def _of(directory: Path) -> Iterator[Task]:
    try:
        with os.scandir(directory) as entries:
            names = [entry.name for entry in islice(entries, 2 * MOST_TASKS) if entry.name.endswith(".json")]
    except OSError:
        return
    for name in sorted(names):
        task = _read(directory / name)
        if task is not None:
            yield task


def _read(path: Path) -> Task | None:
    """One file; None for anything but a small regular one that holds a task instance, also if it has gone."""
    try:
        # No link is followed, because this program may read what a task may not; no FIFO is waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        text = os.read(descriptor, MOST_BYTES)
    finally:
        os.close(descriptor)
    try:
        given = json.loads(text)
        dag, run, task, index = (given[name] for name in ("dag_id", "run_id", "task_id", "map_index"))
    except (ValueError, KeyError, TypeError):
        return None
    if not all(isinstance(name, str) and name for name in (dag, run, task)) or type(index) is not int:
        return None
    return Task(dag, run, task, index)
