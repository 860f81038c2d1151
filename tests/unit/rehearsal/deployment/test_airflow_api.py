"""The client of Airflow's API, against a server with prepared answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rehearsal.deployment.airflow_api import COMPONENTS, Airflow
from rehearsal.errors import RehearsalError

HEALTHY = {name: {"status": "healthy"} for name in COMPONENTS}


class Server(ThreadingHTTPServer):
    """Answers by path; keeps what it was asked."""

    answers: dict[str, tuple[int, object]]
    asked: list[tuple[str, str, str | None]]


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, self.path, self.headers.get("Authorization")))
        status, body = self.server.answers.get(self.path, (404, {"detail": "nothing here"}))
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = _answer  # noqa: N815 - names of http.server

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as made:
        made.answers = {"/auth/token": (201, {"access_token": "given"})}
        made.asked = []
        thread = threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def airflow(server: Server, monkeypatch: pytest.MonkeyPatch) -> Airflow:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return Airflow(f"http://127.0.0.1:{server.server_port}/", "admin", "word")


def test_it_is_healthy_when_every_component_says_so(server: Server, airflow: Airflow) -> None:
    server.answers["/api/v2/monitor/health"] = (200, HEALTHY)
    assert airflow.unhealthy() == []


@pytest.mark.parametrize("name", COMPONENTS)
@pytest.mark.parametrize("part", [{"status": "unhealthy"}, {"status": None}, None])
def test_an_answer_of_200_does_not_hide_a_component(
    server: Server, airflow: Airflow, name: str, part: object
) -> None:
    server.answers["/api/v2/monitor/health"] = (200, HEALTHY | {name: part})
    assert airflow.unhealthy() == [name]


@pytest.mark.parametrize("answer", [(500, {}), (200, b"<html>")])
def test_a_server_that_does_not_answer_properly_is_unhealthy(
    server: Server, airflow: Airflow, answer: tuple[int, object]
) -> None:
    server.answers["/api/v2/monitor/health"] = answer
    assert airflow.unhealthy() == ["web server"]


def test_a_server_that_is_not_there_is_unhealthy(server: Server, airflow: Airflow) -> None:
    server.server_close()
    assert airflow.unhealthy() == ["web server"]


def test_it_logs_in_once_and_shows_its_token(server: Server, airflow: Airflow) -> None:
    server.answers["/api/v2/dags?limit=100"] = (200, {"dags": [{"dag_id": "one"}]})
    assert airflow.knows("one")
    assert not airflow.knows("two")
    assert [path for _, path, _ in server.asked].count("/auth/token") == 1
    assert server.asked[-1][2] == "Bearer given"


def test_the_sign_in_a_run_id_does_not_change_the_address(server: Server, airflow: Airflow) -> None:
    server.answers["/api/v2/dags/one/dagRuns/manual__2026%2B00"] = (200, {"state": "success"})
    assert airflow.state("one", "manual__2026+00") == "success"
    assert airflow.wait_for("one", "manual__2026+00", 0) == "success"


def test_a_refusal_names_the_request_and_the_answer(server: Server, airflow: Airflow) -> None:
    server.answers["/auth/token"] = (401, {"detail": "Invalid credentials"})
    with pytest.raises(RehearsalError, match=r"POST http://127\S+/auth/token answered 401: .*Invalid"):
        airflow.knows("one")
