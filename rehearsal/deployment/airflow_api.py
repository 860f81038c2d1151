"""A small client of Airflow's REST API (``/api/v2``)."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote

from rehearsal.aws import authority
from rehearsal.errors import RehearsalError
from rehearsal.waiting import wait_for

ANSWER = 60.0
"""Seconds for an answer. It is a limit: the browser of a person waits as long where the machine is busy."""
COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")


class Airflow:
    """Airflow at one address. A request that fails raises RehearsalError, which names the request."""

    def __init__(self, url: str, username: str = "", password: str = "") -> None:
        """The authority of the rehearsals vouches for a server of https, and none else."""
        self.url = url.rstrip("/")
        secure = self.url.startswith("https://")
        self._context = ssl.create_default_context(cadata=authority.certificate()) if secure else None
        self._credentials = {"username": username, "password": password}
        self._token = ""

    def unhealthy(self) -> list[str]:
        """The names of the components that are not healthy; empty when all are.

        The health endpoint answers 200 even if a component is unhealthy, so each one is checked.
        """
        try:
            health = self._call("GET", "/api/v2/monitor/health", authorized=False, seconds=10)
        except RehearsalError:
            return ["web server"]
        return [name for name in COMPONENTS if (health.get(name) or {}).get("status") != "healthy"]

    def unpause(self, dag: str) -> None:
        """Unpause a DAG."""
        self._call("PATCH", f"/api/v2/dags/{dag}", {"is_paused": False})

    def run(self, dag: str, conf: dict[str, object] | None = None) -> str:
        """Unpause the DAG, start a run and return the run's id."""
        self.unpause(dag)
        return self.start(dag, conf)

    def start(self, dag: str, conf: dict[str, object] | None = None) -> str:
        """Start a run of a DAG that is not paused and return the run's id: one request."""
        started = self._call(
            "POST", f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None, "conf": conf or {}}
        )
        return str(started["dag_run_id"])

    def end(self, dag: str, run: str) -> None:
        """End a run at once, as failed, with all of its unfinished tasks."""
        self._call("PATCH", f"/api/v2/dags/{dag}/dagRuns/{quote(run)}", {"state": "failed"})

    def knows(self, dag: str) -> bool:
        """Whether the DAG is parsed and listed."""
        return any(known["dag_id"] == dag for known in self._call("GET", "/api/v2/dags?limit=100")["dags"])

    def set_variable(self, name: str, value: str) -> None:
        """Create a variable of Airflow."""
        self._call("POST", "/api/v2/variables", {"key": name, "value": value})

    def variable(self, name: str) -> str:
        """The value of a variable of Airflow."""
        return str(self._call("GET", f"/api/v2/variables/{quote(name)}")["value"])

    def state(self, dag: str, run: str) -> str:
        """State of a run: queued, running, success or failed."""
        return str(self._call("GET", f"/api/v2/dags/{dag}/dagRuns/{quote(run)}")["state"])

    def runs(self, dag: str) -> list[dict[str, Any]]:
        """The runs of a DAG, as the API describes them."""
        listed: list[dict[str, Any]] = self._call("GET", f"/api/v2/dags/{dag}/dagRuns?limit=1000")["dag_runs"]
        return listed

    def log(self, task: dict[str, Any]) -> str:
        """The log of a task instance's last try, as the web server shows it."""
        of_run = f"/api/v2/dags/{task['dag_id']}/dagRuns/{quote(task['dag_run_id'])}"
        of_try = f"/taskInstances/{task['task_id']}/logs/{task['try_number']}?map_index={task['map_index']}"
        return json.dumps(self._call("GET", of_run + of_try)["content"], ensure_ascii=False)

    def task_instances(self, dag: str, run: str) -> list[dict[str, Any]]:
        """The task instances of a run, as the API describes them."""
        listed = self._call("GET", f"/api/v2/dags/{dag}/dagRuns/{quote(run)}/taskInstances?limit=1000")
        found: list[dict[str, Any]] = listed["task_instances"]
        return found

    def wait_for(self, dag: str, run: str, seconds: float) -> str:
        """Wait until a run has ended and return its state: success or failed."""

        def ended() -> str | None:
            state = self.state(dag, run)
            return None if state in ("queued", "running") else state

        return wait_for(f"the run {run} of {dag} has ended", ended, seconds, every=0.2)

    def _call(
        self, method: str, path: str, body: object = None, *, authorized: bool = True, seconds: float = ANSWER
    ) -> dict[str, Any]:
        if authorized and not self._token:
            self._token = str(
                self._call("POST", "/auth/token", self._credentials, authorized=False)["access_token"]
            )
        request = urllib.request.Request(  # noqa: S310 - http or https, to an address of the rehearsal's own
            self.url + path, method=method, data=None if body is None else json.dumps(body).encode()
        )
        request.add_header("Content-Type", "application/json")
        if authorized:
            request.add_header("Authorization", f"Bearer {self._token}")
        try:
            with urllib.request.urlopen(  # noqa: S310 - as above
                request, timeout=seconds, context=self._context
            ) as answer:
                parsed: dict[str, Any] = json.load(answer)
                return parsed
        except urllib.error.HTTPError as problem:
            text = problem.read().decode(errors="replace")[:300]
            raise RehearsalError(f"{method} {self.url}{path} answered {problem.code}: {text}") from None
        except (OSError, ValueError) as problem:
            raise RehearsalError(f"{method} {self.url}{path} got no answer: {problem}") from None
