"""A database that is away is one line a minute in the web server's journal."""

from __future__ import annotations

import logging
import sys
from logging.handlers import QueueHandler
from queue import SimpleQueue

import pytest

from airkiln_airflow import outage
from airkiln_airflow.outage import Outage, is_away, shorten


class DroppedError(Exception):
    """As structlog's."""


class OperationalError(Exception):
    """As SQLAlchemy's: `orig` is the driver's, with PostgreSQL's SQLSTATE."""

    def __init__(self, sqlstate: str | None = None) -> None:
        super().__init__("connection failed")
        self.orig = type("Orig", (Exception,), {"sqlstate": sqlstate})()


OperationalError.__module__ = "sqlalchemy.exc"


STRUCTLOG = {"structlog:DropEvent": DroppedError, "structlog:get_config": lambda: {"processors": []}}


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


def test_a_session_that_goes_on_after_it_lost_its_connection_is_in_an_outage() -> None:
    error = RuntimeError("Can't reconnect until invalid transaction is rolled back.")
    assert not is_away(error)
    error.code = "8s2b"  # type: ignore[attr-defined]
    assert is_away(error)


def test_of_many_tracebacks_one_line_a_minute_is_left() -> None:
    clock = Clock()
    shortened = Outage(DroppedError, clock)
    kept = []
    for second in range(121):
        clock.now = second
        each = record(OperationalError())
        if shortened.filter(each):
            kept.append(each)
    assert [each.exc_info for each in kept] == [None, None, None]
    assert "59 errors like it were left out" in kept[1].getMessage()


def test_a_traceback_that_is_the_text_of_a_line_is_one_as_well() -> None:
    text = (
        "Error with id x1, statement: None\n"
        '  File "sqlalchemy/engine/base.py", line 2452, in _handle_dbapi_exception_noconnection\n'
    )
    shortened = Outage(DroppedError, Clock())
    told, left_out = (logging.LogRecord("airflow", logging.ERROR, "", 0, text, (), None) for _ in range(2))
    assert shortened.filter(told)
    assert "cannot be reached" in told.getMessage()
    assert not shortened.filter(left_out)
    with pytest.raises(DroppedError):
        shortened.process(None, "error", {"event": text})


def test_a_logger_can_be_shortened_alone() -> None:
    told: SimpleQueue[logging.LogRecord] = SimpleQueue()
    handler = QueueHandler(told)
    logger = logging.getLogger("airkiln.test.shortened")
    logger.addHandler(handler)
    logger.propagate = False
    shorten(logger.name)
    for error in (OperationalError(), OperationalError(), ValueError("another")):
        logger.warning("Failed operation", exc_info=error)
    heard = [told.get_nowait().getMessage() for _ in range(2)]
    assert told.empty()
    assert ["cannot be reached" in line for line in heard] == [True, False]


def test_a_process_that_an_outage_ends_says_so_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    others: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda _, error, __: others.append(error))
    monkeypatch.setattr(outage, "resolve_name", lambda name: STRUCTLOG[name])
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    outage.install()
    for error in (OperationalError(), another := ValueError("another")):
        sys.excepthook(type(error), error, None)
    assert capsys.readouterr().err == (
        "The database cannot be reached, so this process ends: connection failed\n"
    )
    assert others == [another]


def test_structlog_is_told_to_drop_what_is_left_out() -> None:
    shortened = Outage(DroppedError, Clock())
    try:
        raise OperationalError  # noqa: TRY301 - logged as Airflow does it, from the handler
    except OperationalError:
        first = shortened.process(None, "error", {"event": "Handle died", "exc_info": True})
        with pytest.raises(DroppedError):
            shortened.process(None, "error", {"event": "Handle died", "exc_info": sys.exc_info()})
    assert first["exc_info"] is None
    assert "cannot be reached" in first["event"]


def test_everything_else_passes_unchanged() -> None:
    shortened = Outage(DroppedError, Clock())
    event = {"event": "an error", "exc_info": ValueError("no")}
    assert shortened.process(None, "error", event) is event
    plain = record(None)
    assert shortened.filter(plain)
    assert plain.getMessage() == "Exception in ASGI application"
