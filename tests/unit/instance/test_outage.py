"""A database that is away is one line a minute in the web server's journal."""

from __future__ import annotations

import logging
import sys

import pytest

from airkiln_airflow.outage import Outage, is_away


class DroppedError(Exception):
    """As structlog's."""


class OperationalError(Exception):
    """As SQLAlchemy's: `orig` is the driver's, with PostgreSQL's SQLSTATE."""

    def __init__(self, sqlstate: str | None = None) -> None:
        super().__init__("connection failed")
        self.orig = type("Orig", (Exception,), {"sqlstate": sqlstate})()


OperationalError.__module__ = "sqlalchemy.exc"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def record(error: BaseException | None) -> logging.LogRecord:
    info = (type(error), error, None) if error else None
    return logging.LogRecord("uvicorn.error", logging.ERROR, "", 0, "Exception in ASGI application", (), info)


@pytest.mark.parametrize("state", [None, "08006", "57P01", "57P03"])
def test_a_lost_connection_is_an_outage(state: str | None) -> None:
    assert is_away(OperationalError(state))


@pytest.mark.parametrize(
    "error", [None, ValueError("no"), OperationalError("55P03"), OperationalError("40P01")], ids=repr
)
def test_another_error_is_none(error: BaseException | None) -> None:
    assert not is_away(error)


def test_what_came_of_a_lost_connection_is_an_outage() -> None:
    error = RuntimeError("the request failed")
    error.__cause__ = OperationalError()
    assert is_away(error)


def test_of_many_tracebacks_one_line_a_minute_is_left() -> None:
    clock = Clock()
    outage = Outage(DroppedError, clock)
    kept = []
    for second in range(121):
        clock.now = second
        each = record(OperationalError())
        if outage.filter(each):
            kept.append(each)
    assert [each.exc_info for each in kept] == [None, None, None]
    assert "59 errors like it were left out" in kept[1].getMessage()


def test_structlog_is_told_to_drop_what_is_left_out() -> None:
    outage = Outage(DroppedError, Clock())
    try:
        raise OperationalError  # noqa: TRY301 - logged as Airflow does it, from the handler
    except OperationalError:
        first = outage.process(None, "error", {"event": "Handle died", "exc_info": True})
        with pytest.raises(DroppedError):
            outage.process(None, "error", {"event": "Handle died", "exc_info": sys.exc_info()})
    assert first["exc_info"] is None
    assert "cannot be reached" in first["event"]


def test_everything_else_passes_unchanged() -> None:
    outage = Outage(DroppedError, Clock())
    event = {"event": "an error", "exc_info": ValueError("no")}
    assert outage.process(None, "error", event) is event
    plain = record(None)
    assert outage.filter(plain)
    assert plain.getMessage() == "Exception in ASGI application"
