"""A small client of Airflow's REST API (``/api/v2``), for what a rehearsal asks of a running Airflow."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote

from rehearsal.errors import RehearsalError

COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")


class Airflow:
    """Airflow at one address. Every failure to get an answer is a RehearsalError that names the request."""

    def __init__(self, url: str, username: str = "", password: str = "") -> None:
        self.url = url.rstrip("/")
        self._credentials = {"username": username, "password": password}
        self._token = ""

    def unhealthy(self) -> list[str]:
        """What is not healthy yet, as names; empty when all of it is.

        The health endpoint answers 200 whatever its parts say, so each part is looked at.
        """
        try:
            health = self._call("GET", "/api/v2/monitor/health", authorized=False)
        except RehearsalError:
            return ["web server"]
        return [name for name in COMPONENTS if (health.get(name) or {}).get("status") != "healthy"]

    def unpause(self, dag: str) -> None:
        """Have the DAG's runs go ahead."""
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
        """End a run at once, as failed, and whatever task of it is under way."""
        self._call("PATCH", f"/api/v2/dags/{dag}/dagRuns/{quote(run)}", {"state": "failed"})

    def knows(self, dag: str) -> bool:
        """Whether the DAG is parsed and listed."""
        return any(known["dag_id"] == dag for known in self._call("GET", "/api/v2/dags?limit=100")["dags"])

    def state(self, dag: str, run: str) -> str:
        """State of a run: queued, running, success or failed."""
        return str(self._call("GET", f"/api/v2/dags/{dag}/dagRuns/{quote(run)}")["state"])

    def runs(self, dag: str) -> list[dict[str, Any]]:
        """The runs of a DAG, as the API describes them."""
        listed: list[dict[str, Any]] = self._call("GET", f"/api/v2/dags/{dag}/dagRuns?limit=1000")["dag_runs"]
        return listed

    def log(self, task: dict[str, Any]) -> str:
        """The log of a task instance's last try, which the web server reads wherever it lies."""
        of_run = f"/api/v2/dags/{task['dag_id']}/dagRuns/{quote(task['dag_run_id'])}"
        of_try = f"/taskInstances/{task['task_id']}/logs/{task['try_number']}?map_index={task['map_index']}"
        return json.dumps(self._call("GET", of_run + of_try)["content"], ensure_ascii=False)

    def task_instances(self, dag: str, run: str) -> list[dict[str, Any]]:
        """The task instances of a run, as the API describes them."""
        listed = self._call("GET", f"/api/v2/dags/{dag}/dagRuns/{quote(run)}/taskInstances?limit=1000")
        found: list[dict[str, Any]] = listed["task_instances"]
        return found

    def wait_for(self, dag: str, run: str, seconds: float) -> str:
        """Wait for a run to end; its state, or the state in which the time was up."""
        deadline = time.monotonic() + seconds
        while (state := self.state(dag, run)) in ("queued", "running") and time.monotonic() < deadline:
            time.sleep(0.2)
        return state

    def _call(
        self, method: str, path: str, body: object = None, *, authorized: bool = True
    ) -> dict[str, Any]:
        if authorized and not self._token:
            self._token = str(
                self._call("POST", "/auth/token", self._credentials, authorized=False)["access_token"]
            )
        request = urllib.request.Request(  # noqa: S310 - http, to an address of the rehearsal's own
            self.url + path, method=method, data=None if body is None else json.dumps(body).encode()
        )
        request.add_header("Content-Type", "application/json")
        if authorized:
            request.add_header("Authorization", f"Bearer {self._token}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
                parsed: dict[str, Any] = json.load(answer)
                return parsed
        except urllib.error.HTTPError as problem:
            text = problem.read().decode(errors="replace")[:300]
            raise RehearsalError(f"{method} {self.url}{path} answered {problem.code}: {text}") from None
        except (OSError, ValueError) as problem:
            raise RehearsalError(f"{method} {self.url}{path} got no answer: {problem}") from None
