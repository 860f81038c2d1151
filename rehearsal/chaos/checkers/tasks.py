"""Checks what became of task instances, from their own marks and Airflow's tables: lost, failed or run twice.

The functions that query take the runs from the observer, which forgets them: each run is checked once.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rehearsal.chaos.observer import Observer, Row

QUEUED_LIMIT = 30.0
"""Seconds that a task instance may stay queued after a takeover."""
UNMARKED = ("sizes",)
"""Tasks that write no mark."""

_TASKS = """
SELECT t.run_id, t.task_id, t.map_index, t.state, t.try_number,
       count(m.*) FILTER (WHERE m.what = 'start'), count(m.*) FILTER (WHERE m.what = 'end')
FROM task_instance t
LEFT JOIN rehearsal.mark m ON (m.run_id, m.task_id, m.map_index) = (t.run_id, t.task_id, t.map_index)
WHERE t.run_id = ANY(%s)
GROUP BY 1, 2, 3, 4, 5
"""
_LATE = """
SELECT dag_id, run_id, task_id, map_index,
       extract(epoch FROM start_date - greatest(queued_dttm, to_timestamp(%s)))::float
FROM task_instance
WHERE run_id = ANY(%s) AND start_date - greatest(queued_dttm, to_timestamp(%s)) > %s * interval '1 s'
"""
_TRIES = """
SELECT t.run_id, t.task_id, t.map_index, t.state, t.try_number, coalesce(m.try_number, 0),
       count(m.*) FILTER (WHERE m.what = 'start'), count(m.*) FILTER (WHERE m.what = 'end'),
       extract(epoch FROM min(m.at))::float, extract(epoch FROM max(m.at))::float
FROM task_instance t
LEFT JOIN rehearsal.mark m ON (m.run_id, m.task_id, m.map_index) = (t.run_id, t.task_id, t.map_index)
WHERE t.run_id = ANY(%s) AND t.task_id <> 'sizes'
GROUP BY 1, 2, 3, 4, 5, 6
ORDER BY 1, 2, 3, 6
"""
_CLEARED = """
SELECT t.run_id, t.task_id, t.map_index, extract(epoch FROM l.dttm)::float,
       (SELECT extract(epoch FROM min(m.at))::float FROM rehearsal.mark m
         WHERE (m.run_id, m.task_id, m.map_index) = (t.run_id, t.task_id, t.map_index)
           AND m.what = 'start' AND m.at > l.dttm)
FROM log l
CROSS JOIN jsonb_array_elements(l.extra::jsonb -> 'task_ids') AS named
JOIN task_instance t ON (t.run_id, t.task_id, t.map_index) =
                        (l.run_id, named ->> 0, (named ->> 1)::int)
WHERE l.event = 'post_clear_task_instances' AND l.run_id = ANY(%s)
"""
"""From the REST API's own log of its requests."""

Name = tuple[str, str, int]
"""Names a task instance: its run, task and map index."""


def check_takeover(observer: Observer, takeover: float) -> list[str]:
    """What must not have become of the tasks of all runs since the last check; empty when all is well.

    Every task instance must have succeeded at its first try, run once, and started in time.

    :param takeover: when the successor had taken over, in seconds since 1970.
    """
    runs, observer.runs = observer.runs, []
    tasks = observer.rows(_TASKS, (runs,))
    known = {task[0] for task in tasks}
    found = [f"{run}: no task instance" for run in runs if run not in known]
    for run, task, index, state, tries, starts, ends in tasks:
        name = f"{run} {task}[{index}]"
        if state != "success":
            found.append(f"{name}: {state}")
        if tries != 1:
            found.append(f"{name}: try {tries}")
        if task not in UNMARKED and (starts, ends) != (1, 1):
            found.append(f"{name}: began {starts} times, ended {ends} times")
    late = observer.rows(_LATE, (takeover, runs, takeover, QUEUED_LIMIT))
    found += [f"{run} {task}[{index}]: queued for {seconds:.1f} s" for _, run, task, index, seconds in late]
    return found


@dataclass(frozen=True)
class Report:
    """What became of a workload's task instances while workers ended."""

    tasks: int
    """How many there were."""
    problems: list[str]
    """Those that were lost, failed or run twice, and how."""
    reruns: list[float]
    """Seconds from the clearing of each cleared task instance until it began again."""
    outlived: int = 0
    """How many cleared ones had ended all the same, before their supervisor noticed."""


def check_drain(observer: Observer, *, may_rerun: bool) -> Report:
    """Check the tasks of all runs since the last check, which must have ended.

    :param may_rerun: whether a task instance that was cleared may have run again.
    """
    runs, observer.runs = observer.runs, []
    cleared = observer.rows(_CLEARED, (runs,))
    clearings: dict[Name, list[float]] = defaultdict(list)
    if may_rerun:
        for run, task, index, at, _ in cleared:
            clearings[run, task, index].append(at)
    found = judge(observer.rows(_TRIES, (runs,)), clearings)
    return replace(found, reruns=[began - at for *_, at, began in cleared if began is not None])


def judge(rows: list[Row], clearings: Mapping[Name, Sequence[float]]) -> Report:
    """Find the task instances that did not run as they should.

    The last try must have begun and ended once. An earlier one may have begun once if the task instance was
    cleared; it may have ended only after that, before its supervisor noticed.

    :param rows: (run, task, index, state, tries, try of the marks, starts, ends, first mark, last mark),
        ordered by the first three. All times are in seconds since 1970.
    :param clearings: when each task instance was cleared.
    """
    problems = []
    count = outlived = 0
    for (run, task, index, state, tries), marks in itertools.groupby(rows, key=lambda row: row[:5]):
        count += 1
        name = f"{run} {task}[{index}]"
        by_try = {each[5]: each[6:] for each in marks}
        cleared = clearings.get((run, task, index), ())
        if state != "success":
            problems.append(f"{name}: {state}")
        if tries > 1 + len(cleared):
            problems.append(f"{name}: try {tries}, cleared {len(cleared)} times")
        for number, (starts, ends, first, last) in by_try.items():
            if (
                number not in {0, tries}
                and (starts, ends) == (1, 1)
                and any(first < at < last for at in cleared)
            ):
                outlived += 1
                continue
            wanted = [(1, 1)] if number == tries else [(1, 0), (0, 0)]
            if number and (starts, ends) not in wanted:
                problems.append(f"{name}: try {number} began {starts} times, ended {ends} times")
        if tries not in by_try:
            problems.append(f"{name}: try {tries} left no mark")
    return Report(count, problems, [], outlived)


def task_instances(problems: Iterable[str]) -> set[str]:
    """The task instances that problems name; one may have several problems."""
    return {problem.rpartition(": ")[0] for problem in problems}
