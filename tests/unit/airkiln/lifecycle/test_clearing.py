"""What runs on a host is cleared, through a REST API that answers as Airflow 3.3.2's does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from airkiln.errors import AirkilnError, DeniedError, UnavailableError
from airkiln.lifecycle import airflow_api, clearing
from airkiln.lifecycle.airflow_api import Login, Task
from airkiln.lifecycle.clearing import clear
from airkiln.lifecycle.model import ClearUnfinished

HERE = "10.0.0.7"
WHOLE = ClearUnfinished((1,), whole=True)


def instance(task: str, host: str = HERE, **given: object) -> dict[str, Any]:
    """One of Airflow's task instances, as far as it is read."""
    return {
        "dag_id": "etl",
        "dag_run_id": "manual__1",
        "task_id": task,
        "map_index": -1,
        "hostname": host,
        "queue": "default",
        "pid": 100,
        "state": "running",
        **given,
    }


class Airflow:
    """The routes that are asked, with pages of two."""

    def __init__(self) -> None:
        self.instances: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str, Any]] = []
        self.broken: dict[str, int] = {}
        self.garbage = False
        airflow = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.answer("GET")

            def do_POST(self) -> None:
                self.answer("POST")

            def answer(self, method: str) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                status, content = airflow.respond(
                    method, self.path, body, self.headers.get("Authorization") or ""
                )
                text = b"<html>" if airflow.garbage else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def respond(self, method: str, path: str, body: dict[str, Any] | None, token: str) -> tuple[int, Any]:
        parts = urlsplit(path)
        self.requests.append((method, parts.path, body if body is not None else parse_qs(parts.query)))
        for piece, status in self.broken.items():
            if piece in parts.path:
                return status, {"detail": "no"}
        if parts.path.endswith("/auth/token"):
            good = body == {"username": "airkiln-worker", "password": 'KANARI%"'}
            return (201, {"access_token": "abc"}) if good else (401, {"detail": "Invalid credentials"})
        if token != "Bearer abc":
            return 401, {}
        if parts.path.endswith("/taskInstances"):
            query = parse_qs(parts.query, keep_blank_values=True)
            chosen = [each for each in self.instances if each["state"] in query["state"]]
            if "queue" in query:
                chosen = [each for each in chosen if each["queue"] in query["queue"]]
            begin = int(query["cursor"][0] or 0)
            more = str(begin + 2) if begin + 2 < len(chosen) else None
            return 200, {"task_instances": chosen[begin : begin + 2], "next_cursor": more}
        assert body is not None
        for each in self.instances:
            asked = [each["task_id"], each["map_index"]] in body["task_ids"]
            if asked and each["dag_run_id"] == body["dag_run_id"]:
                each["state"] = "restarting"
        return 200, {"task_instances": [], "total_entries": 0}

    def cleared(self) -> list[tuple[str, Any]]:
        return [(path, body) for _, path, body in self.requests if path.endswith("/clearTaskInstances")]


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Airflow]:
    monkeypatch.setattr(airflow_api, "PAGE", 2)
    fake = Airflow()
    thread = threading.Thread(target=fake.server.serve_forever, daemon=True)
    thread.start()
    yield fake
    fake.server.shutdown()
    fake.server.server_close()


def login(airflow: Airflow, password: str = 'KANARI%"') -> Login:
    return Login(airflow.url, "airkiln-worker", password)


def run(airflow: Airflow, wanted: ClearUnfinished = WHOLE, queues: tuple[str, ...] = ()) -> list[Task]:
    return clear(login(airflow), wanted, queues, here=lambda: HERE, generation={100: 1, 200: 2}.get)


def test_of_all_that_runs_only_this_hosts_is_cleared(airflow: Airflow) -> None:
    airflow.instances = [instance(f"t{n}", HERE if n % 3 == 0 else "10.0.0.8") for n in range(10)]
    assert [task.task for task in run(airflow)] == ["t0", "t3", "t6", "t9"]
    assert {each["state"] for each in airflow.instances if each["hostname"] != HERE} == {"running"}
    assert run(airflow) == []


def test_what_is_cleared_is_what_runs_and_nothing_that_depends_on_it(airflow: Airflow) -> None:
    airflow.instances = [instance("a"), instance("b", map_index=4)]
    run(airflow)
    assert airflow.cleared() == [
        (
            "/api/v2/dags/etl/clearTaskInstances",
            {
                "dry_run": False,
                "only_failed": False,
                "only_running": True,
                "reset_dag_runs": False,
                "dag_run_id": "manual__1",
                "task_ids": [["a", -1], ["b", 4]],
            },
        )
    ]


def test_each_run_is_one_call_and_names_are_quoted(airflow: Airflow) -> None:
    airflow.instances = [instance("a"), instance("a", dag_run_id="manual__2"), instance("a", dag_id="é/ü")]
    run(airflow)
    assert [(path, body["dag_run_id"]) for path, body in airflow.cleared()] == [
        ("/api/v2/dags/etl/clearTaskInstances", "manual__1"),
        ("/api/v2/dags/etl/clearTaskInstances", "manual__2"),
        ("/api/v2/dags/%C3%A9%2F%C3%BC/clearTaskInstances", "manual__1"),
    ]


def test_beside_a_generation_that_goes_on_only_the_ending_ones_tasks_are_cleared(airflow: Airflow) -> None:
    airflow.instances = [
        instance("a"),
        instance("b", pid=200),
        instance("c", pid=None),
        instance("d", pid=300),
    ]
    assert [task.task for task in run(airflow, ClearUnfinished((1,), whole=False))] == ["a"]
    assert [task.task for task in run(airflow)] == ["b", "c", "d"]


def test_the_pools_queues_narrow_the_search(airflow: Airflow) -> None:
    airflow.instances = [instance("a"), instance("b", queue="big")]
    assert [task.task for task in run(airflow, queues=("big", "bigger"))] == ["b"]


def test_a_run_that_cannot_be_cleared_does_not_keep_the_others(airflow: Airflow) -> None:
    airflow.instances = [instance("a", dag_id="gone"), instance("b")]
    airflow.broken["/dags/gone/"] = 404
    with pytest.raises(UnavailableError, match="404"):
        run(airflow)
    assert airflow.instances[1]["state"] == "restarting"


def test_a_login_that_is_refused_says_who_and_shows_no_password(airflow: Airflow) -> None:
    with pytest.raises(DeniedError, match="has the database step made airkiln-worker") as refused:
        clear(login(airflow, "KANARI"), WHOLE, here=lambda: HERE)
    assert "KANARI" not in str(refused.value)
    assert "KANARI" not in repr(login(airflow))


def test_an_answer_that_is_no_json_is_an_error(airflow: Airflow) -> None:
    airflow.garbage = True
    with pytest.raises(UnavailableError, match="something else than JSON"):
        run(airflow)


def test_a_web_server_that_is_not_there_is_an_error() -> None:
    with pytest.raises(AirkilnError, match="does not answer"):
        clear(Login("http://127.0.0.1:1", "airkiln-worker", "x"), WHOLE, here=lambda: HERE)


def test_a_web_server_that_takes_too_long_in_all_is_left(
    airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(airflow_api, "LIMIT", -1.0)
    with pytest.raises(UnavailableError, match="in all"):
        run(airflow)


def test_a_path_before_the_api_is_kept(airflow: Airflow) -> None:
    airflow.instances = [instance("a")]
    clear(Login(f"{airflow.url}/af", "airkiln-worker", 'KANARI%"'), WHOLE, here=lambda: HERE)
    assert {path for _, path, _ in airflow.requests} == {
        "/af/auth/token",
        "/af/api/v2/dags/~/dagRuns/~/taskInstances",
        "/af/api/v2/dags/etl/clearTaskInstances",
    }


def test_the_address_is_airflows() -> None:
    parts = clearing.address().split(".")
    assert len(parts) == 4
    assert all(part.isdecimal() for part in parts)
