"""What a database that is away does to the journal: one line a minute and no traceback.

Airflow's web server logs a traceback of a hundred lines for each request that needed the database, several
times over. While tasks run and report, nobody could read the journal of ten minutes without a database.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, MutableMapping
from pkgutil import resolve_name
from threading import Lock
from typing import Any

EVERY = 60.0
"""Seconds between two lines."""
_AWAY = ("08", "57P")
"""Classes of SQLSTATE of a connection that failed, or that the server ended (PostgreSQL, appendix A)."""

_LOST = ("OperationalError", "InterfaceError")
"""SQLAlchemy's names for what has to do with the connection, by which it is known without importing it."""

Event = MutableMapping[str, Any]


def is_away(error: BaseException | None) -> bool:
    """Whether an exception, or what it came from, says that the database cannot be reached."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if type(error).__module__ == "sqlalchemy.exc" and type(error).__name__ in _LOST:
            state = getattr(getattr(error, "orig", None), "sqlstate", None)
            return state is None or str(state).startswith(_AWAY)
        error = error.__cause__ or error.__context__
    return False


class Outage:
    """Lets one line in `EVERY` seconds through, without its traceback: for structlog and for logging.

    :param drop: the exception by which a processor leaves an event out, structlog.DropEvent.
    """

    def __init__(self, drop: type[Exception], clock: Callable[[], float] = time.monotonic) -> None:
        self._drop = drop
        self._clock = clock
        self._lock = Lock()
        self._told_at = -EVERY
        self._left_out = 0

    def _line(self) -> str | None:
        with self._lock:
            now = self._clock()
            if now - self._told_at < EVERY:
                self._left_out += 1
                return None
            left_out, self._left_out = self._left_out, 0
            self._told_at = now
        more = f" ({left_out} errors like it were left out)" if left_out else ""
        return f"The database cannot be reached; requests and tasks try again{more}"

    def process(self, _logger: object, _method: str, event: Event) -> Event:
        """A processor of structlog."""
        if not is_away(_exception(event.get("exc_info"))):
            return event
        line = self._line()
        if line is None:
            raise self._drop
        return {**event, "event": line, "exc_info": None}

    def filter(self, record: logging.LogRecord) -> bool:
        """A filter of logging."""
        if record.exc_info is None or not is_away(record.exc_info[1]):
            return True
        line = self._line()
        if line is None:
            return False
        record.msg, record.args, record.exc_info, record.exc_text = line, None, None, None
        return True


def install() -> None:
    """Have this process log so; once, after Airflow has configured its logging."""
    outage = Outage(resolve_name("structlog:DropEvent"))
    processors = resolve_name("structlog:get_config")()["processors"]
    # In place: loggers that were made before keep this very list.
    processors.insert(0, outage.process)
    for handler in logging.getLogger().handlers:
        handler.addFilter(outage.filter)


def _exception(given: object) -> BaseException | None:
    """The exception of an event's `exc_info`, in whichever of the forms that logging knows."""
    if isinstance(given, BaseException):
        return given
    if isinstance(given, tuple):
        return given[1] if isinstance(given[1], BaseException) else None
    return sys.exc_info()[1] if given else None
