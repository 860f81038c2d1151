"""Checks PostgreSQL's log of every statement: no two schedulers ever wrote at the same time.

A scheduler logs in as ``airflow_scheduler_<epoch>``, so the log names the epoch of each statement. Epoch N is
fenced in from the last ``airkiln.fence`` call before its first statement (the call before that one had found
no session left), or from its first statement if there is no such call. From then on no older epoch may write,
lock rows for writing, or commit what it wrote before.

Pure: entries of ``log_destination = jsonlog`` in, findings out. All timestamps compared are the database
server's, so that no other clock matters.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

ROLE = re.compile(r"airflow_scheduler_(\d+)")
CONTROLLER = "airkiln_controller"
_STATEMENT = re.compile(r"(?:statement|execute [^:]+): (.*)", re.DOTALL)
_COMMENT = re.compile(r"/\*.*?\*/|--[^\n]*", re.DOTALL)
_WRITE = re.compile(
    r"(INSERT|UPDATE|DELETE|MERGE|TRUNCATE|CREATE|ALTER|DROP|GRANT|REVOKE|COPY\b.*\bFROM)\b", re.S
)
_WITH_WRITE = re.compile(r"WITH\b.*\b(INSERT\s+INTO|UPDATE\s+\S+\s+SET|DELETE\s+FROM|MERGE\s+INTO)\b", re.S)
_LOCK = re.compile(r"\bFOR\s+(NO\s+KEY\s+)?(UPDATE|SHARE|KEY\s+SHARE)\b|^LOCK\b|PG_(TRY_)?ADVISORY")
_CALL = re.compile(r"airkiln\.(\w+)\s*\(", re.IGNORECASE)
_QUEUES = re.compile(r"UPDATE\s+task_instance\s+SET\b.*\bqueued_by_job_id\b", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Entry:
    """One line of the log, reduced to what is checked."""

    at: float
    """Seconds since 1970 on the database's clock, to the millisecond."""
    user: str
    session: str
    line: int
    severity: str
    message: str
    host: str = ""
    failed: str = ""
    """The SQL during which an error arose, as PostgreSQL names it; empty between two statements."""

    @property
    def sql(self) -> str | None:
        """The SQL that is about to run, as it was sent; None if the entry is not about a statement."""
        found = _STATEMENT.match(self.message) if self.severity == "LOG" else None
        return found[1].strip() if found else None

    @property
    def statement(self) -> str | None:
        """The same without comments."""
        return None if self.sql is None else _COMMENT.sub(" ", self.sql).strip()

    @property
    def epoch(self) -> int | None:
        """The epoch of a scheduler's role; None for any other role."""
        found = ROLE.fullmatch(self.user)
        return int(found[1]) if found else None

    @property
    def call(self) -> str | None:
        """The function of the lease that is called, without its schema; None if none is."""
        found = _CALL.search(self.statement or "")
        return found[1] if found else None


@dataclass(frozen=True)
class Finding:
    """A statement that must not have been executed."""

    what: str
    epoch: int
    """The epoch of its role; 0 for a role without one."""
    newer: int
    """The newest epoch that was fenced in by then."""
    late: float
    """Seconds after that epoch was fenced in."""
    statement: str

    def __str__(self) -> str:
        return (
            f"{self.what} by epoch {self.epoch}, {self.late:.3f} s after {self.newer}: {self.statement[:200]}"
        )


@dataclass
class Report:
    """The result of a check."""

    findings: list[Finding] = field(default_factory=list)
    fenced: dict[int, float] = field(default_factory=dict)
    """When each epoch with a statement was fenced in, in seconds since 1970."""
    statements: int = 0
    """Statements of schedulers that were checked. A report on none proves nothing."""
    writes: int = 0
    refused: int = 0
    """Attempts of an old epoch that PostgreSQL refused, logins included."""


def parse(records: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """The entries of clients, from the log's JSON objects, ordered by time."""
    found = [
        Entry(
            at=moment(record["timestamp"]),
            user=str(record["user"]),
            session=str(record.get("session_id", "")),
            line=int(record.get("line_num", 0)),
            severity=str(record.get("error_severity", "")),
            message=str(record.get("message", "")),
            host=str(record.get("remote_host", "")),
            failed=str(record.get("statement", "")).strip(),
        )
        for record in records
        if record.get("user")
    ]
    return sorted(found, key=lambda entry: (entry.at, entry.session, entry.line))


def kind(statement: str) -> str:
    """``write``, ``lock`` (which only a writer takes), ``commit``, ``rollback`` or ``read``."""
    upper = statement.upper().lstrip("( \n\t")
    if _WRITE.match(upper) or _WITH_WRITE.match(upper):
        return "write"
    if _LOCK.search(upper):
        return "lock"
    if upper.startswith(("COMMIT", "END")):
        return "commit"
    return "rollback" if upper.startswith(("ROLLBACK", "ABORT")) else "read"


def check(entries: Iterable[Entry], *, unfenced_may_queue: bool = False) -> Report:
    """Check a log.

    :param unfenced_may_queue: a scheduler may use a role without an epoch, as it does without a controller.
    """
    ordered = list(entries)
    report = Report(fenced=_fenced(ordered))
    refused = _refused(ordered)
    pending: dict[str, bool] = defaultdict(bool)
    coming = sorted((at, epoch) for epoch, at in report.fenced.items())
    newest = 0
    for entry in ordered:
        while coming and coming[0][0] < entry.at:
            newest = max(newest, coming.pop(0)[1])
        epoch, statement = entry.epoch, entry.statement
        if epoch is None:
            if statement and not unfenced_may_queue and _QUEUES.search(statement):
                late = entry.at - report.fenced.get(newest, entry.at)
                report.findings.append(Finding(f"queueing by {entry.user}", 0, newest, late, statement))
            continue
        old = epoch < newest
        if statement is None:
            report.refused += old and entry.severity in ("ERROR", "FATAL")
            continue
        report.statements += 1
        what = kind(statement)
        report.writes += what == "write"
        wrote = pending[entry.session]
        done = (entry.session, entry.line) not in refused
        if old and done and (what in ("write", "lock") or (what == "commit" and wrote)):
            late = entry.at - report.fenced[newest]
            report.findings.append(Finding(what, epoch, newest, late, statement))
        if what in ("commit", "rollback"):
            pending[entry.session] = False
        elif what == "write":
            pending[entry.session] = True
    report.findings += _disorder(ordered)
    return report


def fences(entries: Iterable[Entry]) -> dict[int, float]:
    """Seconds that each fence took: from `acquire` to `adopt`, which is called when no session is left.

    Calls are matched within one session of a controller. The keys are the times of `acquire` in milliseconds.
    """
    took: dict[int, float] = {}
    begun: dict[str, float] = {}
    for entry in entries:
        if entry.user != CONTROLLER:
            continue
        if entry.call == "acquire":
            begun[entry.session] = entry.at
        elif entry.call == "adopt" and entry.session in begun:
            start = begun.pop(entry.session)
            took[round(start * 1000)] = entry.at - start
    return took


def _fenced(entries: Iterable[Entry]) -> dict[int, float]:
    fenced: dict[int, float] = {}
    last_fence: float | None = None
    for entry in entries:
        if entry.user == CONTROLLER and entry.call == "fence":
            last_fence = entry.at
        epoch = entry.epoch
        if epoch is None or epoch in fenced or entry.statement is None:
            continue
        newest = max(fenced, default=0)
        usable = last_fence is not None and last_fence > fenced.get(newest, 0.0)
        fenced[epoch] = last_fence if usable and last_fence is not None and epoch > newest else entry.at
    return fenced


def _refused(entries: Iterable[Entry]) -> set[tuple[str, int]]:
    """Statements that PostgreSQL answered with an error, by session and line.

    The error must name the statement as its own: a session that is ended after a write that succeeded says so
    on the next line, and so does a statement that failed before it was logged.
    """
    by_session: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_session[entry.session].append(entry)
    found = set()
    for session, logged in by_session.items():
        logged.sort(key=lambda entry: entry.line)
        for entry, following in pairwise(logged):
            if (
                following.severity in ("ERROR", "FATAL")
                and following.failed
                and entry.sql == following.failed
            ):
                found.add((session, entry.line))
    return found


def _disorder(entries: Iterable[Entry]) -> list[Finding]:
    """Epochs whose first statement comes after that of a newer one."""
    found, newest, seen = [], 0, set[int]()
    for entry in entries:
        epoch = entry.epoch
        if epoch is None or entry.statement is None or epoch in seen:
            continue
        seen.add(epoch)
        if epoch < newest:
            found.append(Finding("first statement", epoch, newest, 0.0, entry.statement))
        newest = max(newest, epoch)
    return found


def moment(text: str) -> float:
    """Seconds since 1970 of `2026-11-21 05:14:59.250 UTC`, as the log has it with ``log_timezone = UTC``."""
    stamp = text.removesuffix(" UTC").removesuffix(" Etc/UTC")
    return datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC).timestamp()
