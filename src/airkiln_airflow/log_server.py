"""Serve the logs of running tasks: `python -m airkiln_airflow.log_server`.

Airflow's worker starts the same server as a child of its own. Here it is a unit, because several generations
of the worker share a host and its port, and logs are read until the last one has ended.
"""

from __future__ import annotations

import socket

import uvicorn
from airflow.configuration import conf

from airkiln_airflow import component
from airkiln_airflow.readiness import claim, notify_ready

PATIENCE = 5
"""Seconds for answers that are under way when the server is stopped."""


class Server(uvicorn.Server):
    """A server that tells systemd when its port is open."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the port, then say so."""
        await super().startup(sockets=sockets)
        if self.started:
            notify_ready(f"serving logs on port {self.config.port}")


def configured() -> uvicorn.Config:
    """As airflow.utils.serve_logs.core of Airflow 3.3.2 sets it up."""
    return uvicorn.Config(
        "airflow.utils.serve_logs.log_server:get_app",
        factory=True,
        host="",
        port=conf.getint("logging", "WORKER_LOG_SERVER_PORT"),
        log_level=conf.get("logging", "uvicorn_logging_level", fallback="info").lower(),
        log_config=None,  # Airflow's own stands
        access_log=False,
        timeout_graceful_shutdown=PATIENCE,
    )


if __name__ == "__main__":
    component.shield()
    claim()
    Server(configured()).run()
