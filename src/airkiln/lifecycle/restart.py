"""What runs on this host is made to run elsewhere: cleared through Airflow's REST API.

A running task instance that is cleared gets the state `restarting`: its supervisor ends it at its next
heartbeat, and the scheduler queues it again whatever its retries say (clear_task_instances of Airflow 3.3.2,
airflow/models/taskinstance.py). With `only_running` one that ended meanwhile stays as it is.

The API has no filter by host: running task instances are read page by page and chosen by their host name,
which is this host's address (airkiln_airflow.log_address), and by the control group of their process where
another generation of the worker goes on here.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from airkiln.errors import AirkilnError, DeniedError, UnavailableError
from airkiln.lifecycle.model import ClearUnfinished
from airkiln.lifecycle.runtime import Login
from airkiln.lifecycle.units import generation_of

TIMEOUT = 8.0
"""Seconds for each step of a request. A web server that is busy answers late; the time is short by then."""
LIMIT = 20.0
"""Seconds for one clearing; the next one goes on with what is left."""
PAGE = 100
"""Airflow's own limit of a page: [api] maximum_page_limit."""
ELSEWHERE = ("169.254.169.254", 80)
"""As in airkiln_airflow.log_address: nothing is sent there."""


@dataclass(frozen=True)
class Task:
    """A running task instance of this host."""

    dag: str
    run: str
    task: str
    index: int
    pid: int | None


def address() -> str:
    """The name by which Airflow knows this host: the address of the interface of the default route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(ELSEWHERE)
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def clear(
    login: Login,
    order: ClearUnfinished,
    queues: tuple[str, ...] = (),
    *,
    here: Callable[[], str] = address,
    generation: Callable[[int], int | None] = generation_of,
) -> list[Task]:
    """Clear what runs under the generations of `order`; what was asked for. AirkilnError when it fails."""
    with closing(Api(login)) as api:
        mine = [task for task in api.running(here(), queues) if _meant(task, order, generation)]
        runs: dict[tuple[str, str], list[Task]] = defaultdict(list)
        for task in mine:
            runs[task.dag, task.run].append(task)
        trouble: AirkilnError | None = None
        for (dag, run), tasks in runs.items():
            try:
                api.clear(dag, run, tasks)
            except AirkilnError as error:
                trouble = error  # such as a DAG that was deleted: the other runs are none the worse
    if trouble is not None:
        raise trouble
    return mine


def _meant(task: Task, order: ClearUnfinished, generation: Callable[[int], int | None]) -> bool:
    if order.whole:
        return True
    return task.pid is not None and generation(task.pid) in order.generations


class Api:
    """One connection to Airflow's REST API, logged in with the first request."""

    def __init__(self, login: Login, clock: Callable[[], float] = time.monotonic) -> None:
        self._login = login
        parts = urlsplit(login.url)
        host = parts.hostname or ""
        self._connection: http.client.HTTPConnection = (
            http.client.HTTPSConnection(host, parts.port, timeout=TIMEOUT)  # checks the certificate
            if parts.scheme == "https"
            else http.client.HTTPConnection(host, parts.port, timeout=TIMEOUT)
        )
        self._base = parts.path
        self._token = ""
        self._clock = clock
        self._until = clock() + LIMIT

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def running(self, here: str, queues: tuple[str, ...]) -> Iterator[Task]:
        """Running task instances whose host name is `here`. No queues: of every queue."""
        cursor: str | None = ""
        while cursor is not None:
            query = [("state", "running"), ("limit", str(PAGE)), ("order_by", "id"), ("cursor", cursor)]
            query += [("queue", each) for each in queues]
            page = self._ask("GET", f"/api/v2/dags/~/dagRuns/~/taskInstances?{urlencode(query)}")
            for each in page["task_instances"]:
                if each["hostname"] == here:
                    yield Task(
                        each["dag_id"], each["dag_run_id"], each["task_id"], each["map_index"], each["pid"]
                    )
            cursor = page.get("next_cursor")

    def clear(self, dag: str, run: str, tasks: list[Task]) -> None:
        """Clear task instances of one run, and nothing that depends on them."""
        body = {
            "dry_run": False,
            "only_failed": False,
            "only_running": True,
            "reset_dag_runs": False,
            "dag_run_id": run,
            "task_ids": [[task.task, task.index] for task in tasks],
        }
        self._ask("POST", f"/api/v2/dags/{quote(dag, safe='')}/clearTaskInstances", body)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
        if not self._token:
            credentials = {"username": self._login.user, "password": self._login.password}
            self._token = str(self._send("POST", "/auth/token", credentials, {})["access_token"])
        return self._send(method, path, body, {"Authorization": f"Bearer {self._token}"})

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> Any:  # noqa: ANN401 - JSON
        if self._clock() > self._until:
            raise UnavailableError(f"the web server took longer than {LIMIT:g} s in all")
        sent = {"Accept": "application/json", **headers}
        if body is not None:
            sent["Content-Type"] = "application/json"
        try:
            self._connection.request(
                method, self._base + path, json.dumps(body) if body is not None else None, sent
            )
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise UnavailableError(
                f"the web server at {self._login.url} does not answer ({type(error).__name__})"
            ) from None
        what = f"{method} {path.partition('?')[0]}"
        if answer.status in (401, 403):
            raise DeniedError(
                f"Airflow refused {what} ({answer.status}): has the database step made {self._login.user}, "
                "with the password that is here?"
            )
        if answer.status not in (200, 201):
            raise UnavailableError(f"Airflow answered {what} with {answer.status}")
        try:
            return json.loads(text)
        except ValueError:
            raise UnavailableError(f"Airflow answered {what} with something else than JSON") from None
