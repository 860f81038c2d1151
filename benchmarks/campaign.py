"""The raw runs of the failover benchmark: one JSON line each, gathered over as many invocations as it takes.

The lines lie in build/failover/runs.jsonl. A run that went wrong has a line too, with what went wrong.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import kept, results
from benchmarks.rehearsed import say
from rehearsal.chaos.checkers.statements import Entry, check, fences, parse
from rehearsal.chaos.faults.schedulers import FAULTS
from rehearsal.chaos.instrumentation import StatementLog
from rehearsal.chaos.observer import Observer
from rehearsal.chaos.scenarios.ordeals import ORDEALS
from rehearsal.chaos.scenarios.takeover import Trial, make_whole, peer_trial, trial
from rehearsal.deployment.cluster import Cluster
from rehearsal.errors import RehearsalError

RUNS = results.ROOT / "build" / "failover" / "runs.jsonl"
AIRKILN, PEER = "airkiln", "airflow, two schedulers"
GIVE_UP = 3
"""Runs in a row without a figure after which a fault is left alone."""


@dataclass
class Line:
    """One run, as it is kept."""

    subject: str
    fault: str
    date: str
    commit: str
    image: str
    seconds: float | None = None
    adopted: float | None = None
    fences: list[float] = field(default_factory=list)
    """Seconds that each fence within the run took."""
    statements: int = 0
    """Statements of schedulers that the checker looked at."""
    overlaps: list[str] = field(default_factory=list)
    """What the checker found."""
    problems: list[str] = field(default_factory=list)
    """Task instances lost, run twice, or queued for too long."""
    error: str = ""
    """Why there is no figure."""


class Lines:
    """The file of runs."""

    def __init__(self, path: Path = RUNS) -> None:
        self._path = path

    def __iter__(self) -> Iterator[Line]:
        return kept.lines(self._path, Line)

    def add(self, line: Line) -> None:
        """Keep a run."""
        kept.keep(line, self._path)

    def count(self, subject: str, fault: str, *, adopted: bool = False) -> int:
        """Runs that went to their end."""
        return sum(
            (line.subject, line.fault) == (subject, fault)
            and not line.error
            and (line.adopted is not None or not adopted)
            for line in self
        )


class Campaign:
    """Runs on one cluster."""

    def __init__(self, cluster: Cluster, lines: Lines, subject: str) -> None:
        self._cluster = cluster
        self._lines = lines
        self._subject = subject
        self._observer = Observer(cluster)
        self._log = StatementLog(cluster.postgres)
        self._entries: deque[list[Entry]] = deque(maxlen=3)
        """Of the latest runs: an epoch may wake up after two takeovers."""

    def gather(self, fault: str, runs: int, *, adoption: bool = False) -> None:
        """Run until there are so many figures of the fault."""
        failures = 0
        while (done := self._lines.count(self._subject, fault, adopted=adoption)) < runs:
            line = self.run(fault, adoption=adoption)
            failures = failures + 1 if line.error else 0
            say(f"{fault} {done + 1}/{runs}: {describe(line)}")
            if failures == GIVE_UP:
                say(f"{fault}: left alone after {GIVE_UP} failures in a row")
                return

    def run(self, fault: str, *, adoption: bool = False) -> Line:
        """One run, checked and kept."""
        line = Line(
            subject=self._subject,
            fault=fault,
            date=kept.now(),
            commit=results.commit(),
            image=self._cluster.image,
        )
        came: Trial | None = None
        try:
            if self._subject == PEER:
                came = peer_trial(self._observer, FAULTS[fault], adoption=adoption)
            elif fault in ORDEALS:
                came = ORDEALS[fault](self._observer)
            else:
                came = trial(self._observer, FAULTS[fault])
        except (RehearsalError, psycopg.Error) as problem:
            line.error = str(problem)
            self._recover()
        if came is not None:
            line.seconds, line.adopted, line.problems = came.seconds, came.adopted, came.problems
        self._check(line, came)
        self._lines.add(line)
        return line

    def _check(self, line: Line, came: Trial | None) -> None:
        self._entries.append(parse(self._log.new()))
        verdict = check(
            (entry for entries in self._entries for entry in entries),
            unfenced_may_queue=self._subject == PEER,
        )
        line.statements = verdict.statements
        line.overlaps = [str(found) for found in verdict.findings]
        if came is not None:
            line.fences = [
                round(seconds, 4)
                for at, seconds in fences(self._entries[-1]).items()
                if at / 1000 >= came.began
            ]

    def _recover(self) -> None:
        """Go on after a run that went wrong; what it had under way is not judged."""
        self._observer.runs.clear()
        with suppress(RehearsalError, psycopg.Error):
            make_whole(self._observer, controllers=self._subject == AIRKILN)


def describe(line: Line) -> str:
    """A run in words."""
    told = [line.error or ("no figure" if line.seconds is None else f"{line.seconds:.2f} s")]
    if line.adopted is not None:
        told.append(f"adopted after {line.adopted:.0f} s")
    if line.fences:
        told.append("fence " + ", ".join(f"{each * 1000:.0f} ms" for each in line.fences))
    return "; ".join([*told, *line.overlaps, *line.problems])


def grouped(lines: Iterable[Line], value: str) -> dict[tuple[str, str], list[Any]]:
    """The values of one field that are there, by fault and subject."""
    found: dict[tuple[str, str], list[Any]] = {}
    for line in lines:
        if (each := getattr(line, value)) is not None:
            found.setdefault((line.fault, line.subject), []).append(each)
    return found
