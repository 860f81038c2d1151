"""A server in the database's place that asks for the password in clear gets none, whoever connects."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from airkiln.database import controller, prepare, target
from airkiln.database.connect import connect
from airkiln.errors import RefusedError
from airkiln.failover import runtime
from airkiln.failover.config import Timings
from airkiln.failover.lease import LeaseClient
from airkiln.roles import DATABASE

PASSWORD = "the-password-that-nobody-sees"
CLEAR_TEXT = b"R" + struct.pack("!ii", 8, 3)
"""AuthenticationCleartextPassword."""
ENDS = Timings(call_timeout=5.0)


class Impostor:
    """A server without TLS that asks for the password in clear text and records what it receives."""

    def __init__(self) -> None:
        self.heard = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def variables(self) -> dict[str, str]:
        url = f"postgresql+psycopg://airflow:{PASSWORD}@127.0.0.1:{self.port}/airflow?sslmode=disable"
        return {
            DATABASE: url,
            controller.PASSWORD: PASSWORD,
            prepare.ADMIN_PASSWORD: PASSWORD,
            prepare.WORKER_PASSWORD: PASSWORD,
        }

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                connection.sendall(CLEAR_TEXT)
                while part := connection.recv(4096):
                    self.heard += part

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def impostor() -> Iterator[Impostor]:
    found = Impostor()
    yield found
    found.close()


def as_the_administrator(known: Mapping[str, str]) -> None:
    plan = prepare.plan(known)
    assert plan is not None
    connect(plan.as_administrator())


def as_the_controller(known: Mapping[str, str]) -> None:
    LeaseClient(controller.keywords(known), "a", "a/1", ENDS).poll(True)


def as_the_owner(known: Mapping[str, str]) -> None:
    parsed = target.parse(known[DATABASE])
    connect(parsed.keywords(parsed.user, parsed.password))


@pytest.mark.parametrize("connects", [as_the_administrator, as_the_controller, as_the_owner])
def test_it_hears_no_password_of_ours(
    impostor: Impostor, connects: Callable[[Mapping[str, str]], None]
) -> None:
    with pytest.raises(RefusedError, match="the server does not prove to be the right one"):
        connects(impostor.variables)
    assert PASSWORD.encode() not in impostor.heard


def test_it_hears_none_of_a_scheduler_by_its_service_file(
    impostor: Impostor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pg_service.conf"
    file.write_text(runtime.service_entry(impostor.variables, "airflow_scheduler_7", PASSWORD))
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    with pytest.raises(psycopg.OperationalError, match="scram-sha-256"):
        psycopg.connect(f"service={runtime.SERVICE}", connect_timeout=5)
    assert PASSWORD.encode() not in impostor.heard


def test_without_the_rule_it_would_hear_it(impostor: Impostor) -> None:
    parsed = target.parse(impostor.variables[DATABASE])
    keywords = parsed.keywords(parsed.user, parsed.password)
    del keywords["require_auth"]
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(make_conninfo(**keywords, connect_timeout=1))
    assert PASSWORD.encode() in impostor.heard


@pytest.mark.parametrize("weaker", ["password", "none", "scram-sha-256,password", "!md5"])
def test_a_url_that_asks_for_less_is_refused(weaker: str) -> None:
    with pytest.raises(RefusedError, match="require_auth is not scram-sha-256"):
        target.parse(f"postgresql+psycopg://airflow:x@db/airflow?require_auth={weaker}")


def test_a_local_socket_without_a_password_needs_no_rule() -> None:
    parsed = target.parse("postgresql+psycopg2://airflow@/airflow?host=/run/postgresql")
    assert "require_auth" not in parsed.keywords(parsed.user, parsed.password)
