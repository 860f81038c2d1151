"""Airflow's REST API, as far as the drain uses it: whether a task instance runs here, and its clearing."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from airkiln.errors import AirkilnError, DeniedError, RefusedError, UnavailableError
from airkiln.roles import EXECUTION_API

USER = "airkiln-worker"
PASSWORD = "AIRKILN_LIFECYCLE_PASSWORD"  # noqa: S105 - the name of a variable
TIMEOUT = 8.0
"""Seconds for each step of a request. A web server that is busy answers late; the time is short by then."""
LIMIT = 20.0
"""Seconds for one clearing; the next one goes on with what is left."""


class NotFoundError(UnavailableError):
    """Airflow knows nothing of that name."""


@dataclass(frozen=True)
class Task:
    """A task instance."""

    dag: str
    run: str
    task: str
    index: int
    """Of a mapped task instance; -1 of another."""


@dataclass(frozen=True)
class Login:
    """The address of Airflow's web server, and the user that logs in."""

    url: str
    user: str
    password: str = field(repr=False)


def login(variables: Mapping[str, str]) -> Login:
    """The login of the drain. Raises RefusedError, which names what is missing."""
    problems = [
        f"{name}: missing: without it no task can be cleared: set it as a parameter of the environment"
        for name in (EXECUTION_API, PASSWORD)
        if not variables.get(name)
    ]
    if problems:
        raise RefusedError(problems)
    return Login(base_url(variables[EXECUTION_API]), USER, variables[PASSWORD])


def base_url(execution: str) -> str:
    """The address of the web server: that of the task execution API without /execution/ at its end."""
    parts = urlsplit(execution)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise AirkilnError(f"{EXECUTION_API} is not the address of a web server: correct the parameter")
    path = parts.path.rstrip("/").removesuffix("/execution")
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


class AirflowApi:
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

    def runs_on(self, task: Task, host: str) -> bool:
        """Whether a task instance is running on the host of that name."""
        dag, run, name = (quote(part, safe="") for part in (task.dag, task.run, task.task))
        path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{name}/{task.index}"
        try:
            found = self._ask("GET", path)
        except NotFoundError:
            return False  # it was deleted, or never was
        return bool(found["state"] == "running" and found["hostname"] == host)

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
        if answer.status == HTTPStatus.NOT_FOUND:
            raise NotFoundError(f"Airflow answered {what} with 404")
        if answer.status not in (200, 201):
            raise UnavailableError(f"Airflow answered {what} with {answer.status}")
        try:
            return json.loads(text)
        except ValueError:
            raise UnavailableError(f"Airflow answered {what} with something else than JSON") from None
