"""The journal while the database is away: one line a minute and no traceback.

Airflow's web server logs a traceback of a hundred lines for each request that needed the database, several
times over, and Celery one for each of a worker's attempts to keep a result. The scheduler, the DAG processor
and the triggerer end with five to fifteen hundred lines. The journal of ten minutes without a database
would be unreadable.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pkgutil import resolve_name
from threading import Lock
from types import TracebackType
from typing import Any

EVERY = 60.0
"""Seconds between two lines."""
_AWAY = ("08", "57P")
"""Classes of SQLSTATE of a connection that failed, or that the server ended (PostgreSQL, appendix A)."""

_LOST = ("OperationalError", "InterfaceError")
"""SQLAlchemy's names for what has to do with the connection, by which it is known without importing it."""

_NOT_AGAIN = "8s2b"
"""SQLAlchemy's code of what it says to a session that goes on after its connection was lost."""

_NO_CONNECTION = "in _handle_dbapi_exception_noconnection"
"""SQLAlchemy's function that reports a failed connection, in a traceback that is only text:
Airflow's handler of database errors logs it so, without the exception (3.3.2,
api_fastapi/common/exceptions.py).
"""

Event = MutableMapping[str, Any]


def is_away(error: BaseException | None) -> bool:
    """Whether an exception, or what it came from, says that the database cannot be reached."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if getattr(error, "code", None) == _NOT_AGAIN:
            return True
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
        if not is_away(_exception(event.get("exc_info"))) and _NO_CONNECTION not in str(event.get("event")):
            return event
        line = self._line()
        if line is None:
            raise self._drop
        return {**event, "event": line, "exc_info": None}

    def filter(self, record: logging.LogRecord) -> bool:
        """A filter of logging."""
        error = record.exc_info[1] if record.exc_info else None
        if not is_away(error) and _NO_CONNECTION not in str(record.msg):
            return True
        line = self._line()
        if line is None:
            return False
        record.msg, record.args, record.exc_info, record.exc_text = line, None, None, None
        return True


def shorten(*names: str) -> None:
    """Have these loggers of logging log so, from now on and whatever handlers they come to have."""
    outage = Outage(RuntimeError)
    for name in names:
        logging.getLogger(name).addFilter(outage.filter)


class ShortJournal:
    """ASGI middleware of the web server that has its whole process log so, and does nothing else.

    A middleware is made when the application is complete, and only then is logging what it will be: Airflow
    configures it, and the FAB auth manager once more, with other handlers, after plugins have been loaded.
    """

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app
        install()

    async def __call__(self, *request: object) -> None:
        """What the application says."""
        await self._app(*request)


def install() -> None:
    """Have this whole process log so, from now on, and end with one line where the database is the reason."""
    outage = Outage(resolve_name("structlog:DropEvent"))
    processors = resolve_name("structlog:get_config")()["processors"]
    # In place: loggers that were made before keep this very list.
    processors.insert(0, outage.process)
    for handler in logging.getLogger().handlers:
        handler.addFilter(outage.filter)
    otherwise = sys.excepthook

    def end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if is_away(error):
            sys.stderr.write(f"The database cannot be reached, so this process ends: {error}\n")
        else:
            otherwise(kind, error, trace)

    sys.excepthook = end


def _exception(given: object) -> BaseException | None:
    """The exception of an event's `exc_info`, in whichever of the forms that logging knows."""
    if isinstance(given, BaseException):
        return given
    if isinstance(given, tuple):
        return given[1] if isinstance(given[1], BaseException) else None
    return sys.exc_info()[1] if given else None
