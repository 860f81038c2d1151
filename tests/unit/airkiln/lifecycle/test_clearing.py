"""What runs on a host is cleared, through a REST API that answers as Airflow 3.3.2's does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from airkiln.errors import AirkilnError, DeniedError, UnavailableError
from airkiln.lifecycle import airflow_api, clearing
from airkiln.lifecycle.airflow_api import Login, Task
from airkiln.lifecycle.clearing import clear
from airkiln.lifecycle.model import ClearUnfinished

HERE = "10.0.0.7"
WHOLE = ClearUnfinished((1,), whole=True)
ANY = Task("etl", "manual__1", "any", -1)


def instance(task: str, host: str = HERE, **given: object) -> dict[str, Any]:
    """One of Airflow's task instances, as far as it is read."""
    return {
        "dag_id": "etl",
        "dag_run_id": "manual__1",
        "task_id": task,
        "map_index": -1,
        "hostname": host,
        "state": "running",
        **given,
    }


def task_of(found: dict[str, Any]) -> Task:
    """The task instance as a worker writes it."""
    return Task(found["dag_id"], found["dag_run_id"], found["task_id"], found["map_index"])


class Airflow:
    """The routes that are asked."""

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
        if method == "GET":
            _, _, _, _, dag, _, run, _, task, index = map(unquote, parts.path.removeprefix("/af").split("/"))
            asked_for = Task(dag, run, task, int(index))
            found = [each for each in self.instances if task_of(each) == asked_for]
            return (200, found[0]) if found else (404, {"detail": "not found"})
        assert body is not None
        dag = unquote(parts.path.partition("/dags/")[2].partition("/")[0])
        for each in self.instances:
            asked = each["dag_id"] == dag and [each["task_id"], each["map_index"]] in body["task_ids"]
            if asked and each["dag_run_id"] == body["dag_run_id"]:
                each["state"] = "restarting"
        return 200, {"task_instances": [], "total_entries": 0}

    def cleared(self) -> list[tuple[str, Any]]:
        return [(path, body) for _, path, body in self.requests if path.endswith("/clearTaskInstances")]


@pytest.fixture
def airflow() -> Iterator[Airflow]:
    fake = Airflow()
    thread = threading.Thread(target=fake.server.serve_forever, daemon=True)
    thread.start()
    yield fake
    fake.server.shutdown()
    fake.server.server_close()


def login(airflow: Airflow, password: str = 'KANARI%"') -> Login:
    return Login(airflow.url, "airkiln-worker", password)


def run(airflow: Airflow, wanted: ClearUnfinished = WHOLE, *written: Task) -> list[Task]:
    """Clear, where the workers say that they run `written`: by default all that Airflow knows."""
    named = list(written) or [task_of(each) for each in airflow.instances]
    return clear(login(airflow), wanted, here=lambda: HERE, candidates=lambda _: named)


def test_of_what_the_workers_name_only_what_airflow_has_running_here_is_cleared(airflow: Airflow) -> None:
    airflow.instances = [
        instance("mine"),
        instance("anothers", "10.0.0.8"),
        instance("ended", state="success"),
    ]
    known = [task_of(each) for each in airflow.instances]
    assert [task.task for task in run(airflow, WHOLE, *known, Task("etl", "manual__1", "invented", -1))] == [
        "mine"
    ]
    assert [each["state"] for each in airflow.instances] == ["restarting", "running", "success"]
    assert run(airflow) == []


def test_what_runs_elsewhere_is_not_read(airflow: Airflow) -> None:
    airflow.instances = [instance(f"t{n}", HERE if n == 7 else "10.0.0.8") for n in range(1000)]
    assert [task.task for task in run(airflow, WHOLE, Task("etl", "manual__1", "t7", -1))] == ["t7"]
    assert len(airflow.requests) == 3


def test_a_run_is_cleared_before_the_next_one_is_looked_for(airflow: Airflow) -> None:
    airflow.instances = [instance("a"), instance("b", dag_run_id="manual__2")]
    run(airflow)
    assert [method for method, path, _ in airflow.requests if "token" not in path] == [
        "GET",
        "POST",
        "GET",
        "POST",
    ]


def test_beside_a_generation_that_goes_on_only_the_ending_ones_tasks_are_cleared(airflow: Airflow) -> None:
    written: dict[tuple[int, ...] | None, list[Task]] = {
        (1,): [Task("etl", "manual__1", "a", -1)],
        None: [Task("etl", "manual__1", "b", -1)],
    }
    airflow.instances = [instance("a"), instance("b")]
    cleared = [
        clear(login(airflow), wanted, here=lambda: HERE, candidates=written.__getitem__)
        for wanted in (ClearUnfinished((1,), whole=False), WHOLE)
    ]
    assert cleared == [written[1,], written[None]]


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


def test_a_run_that_cannot_be_cleared_does_not_keep_the_others(airflow: Airflow) -> None:
    airflow.instances = [instance("a", dag_id="gone"), instance("b")]
    airflow.broken["/dags/gone/clear"] = 404
    with pytest.raises(UnavailableError, match="404"):
        run(airflow)
    assert airflow.instances[1]["state"] == "restarting"


def test_a_login_that_is_refused_says_who_and_shows_no_password(airflow: Airflow) -> None:
    with pytest.raises(DeniedError, match="has the database step made airkiln-worker") as refused:
        clear(login(airflow, "KANARI"), WHOLE, here=lambda: HERE, candidates=lambda _: [ANY])
    assert "KANARI" not in str(refused.value)
    assert "KANARI" not in repr(login(airflow))


def test_an_answer_that_is_no_json_is_an_error(airflow: Airflow) -> None:
    airflow.garbage = True
    with pytest.raises(UnavailableError, match="something else than JSON"):
        run(airflow, WHOLE, ANY)


def test_a_web_server_that_is_not_there_is_an_error() -> None:
    with pytest.raises(AirkilnError, match="does not answer"):
        clear(
            Login("http://127.0.0.1:1", "airkiln-worker", "x"),
            WHOLE,
            here=lambda: HERE,
            candidates=lambda _: [ANY],
        )


def test_a_web_server_that_takes_too_long_in_all_is_left(
    airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(airflow_api, "LIMIT", -1.0)
    with pytest.raises(UnavailableError, match="in all"):
        run(airflow, WHOLE, ANY)


def test_a_path_before_the_api_is_kept(airflow: Airflow) -> None:
    airflow.instances = [instance("a")]
    clear(
        Login(f"{airflow.url}/af", "airkiln-worker", 'KANARI%"'),
        WHOLE,
        here=lambda: HERE,
        candidates=lambda _: [task_of(each) for each in airflow.instances],
    )
    assert {path for _, path, _ in airflow.requests} == {
        "/af/auth/token",
        "/af/api/v2/dags/etl/dagRuns/manual__1/taskInstances/a/-1",
        "/af/api/v2/dags/etl/clearTaskInstances",
    }


def test_the_address_is_airflows() -> None:
    parts = clearing.address().split(".")
    assert len(parts) == 4
    assert all(part.isdecimal() for part in parts)
