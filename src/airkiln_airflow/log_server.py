"""Serve the logs of running tasks: `python -m airkiln_airflow.log_server`.

Airflow's worker starts the same server as a child of its own. Here it is a unit, because several generations
of the worker share a host and its port, and logs are read until the last one has ended.

The worker's unit is ordered after this one, so that it stops first. The port is open before Airflow is
imported: the worker then loads at the same time instead of one second later, and a request that comes
meanwhile waits in the port's queue.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from airkiln_airflow import component
from airkiln_airflow.readiness import claim, notify_ready

PORT = "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT"
DEFAULT_PORT = "8793"
"""Airflow's own default."""
PATIENCE = 5
"""Seconds for answers that are under way when the server is stopped."""


def listen(environment: Mapping[str, str]) -> socket.socket:
    """Open the port on every address of this host, of both families where the host has both.

    :raises OSError: another process has the port.
    :raises ValueError: the variable is not a number.
    """
    address = ("", int(environment.get(PORT, DEFAULT_PORT)))
    if socket.has_dualstack_ipv6():
        return socket.create_server(address, family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(address)


def serve(port: socket.socket) -> None:
    """Answer requests at this port until the process is told to stop.

    The configuration is that of Airflow 3.3.2 (airflow.utils.serve_logs.core).
    """
    # Imported now: it takes a second, and the port is open by then.
    import uvicorn  # noqa: PLC0415
    from airflow.configuration import conf  # noqa: PLC0415

    configuration = uvicorn.Config(
        "airflow.utils.serve_logs.log_server:get_app",
        factory=True,
        log_level=conf.get("logging", "uvicorn_logging_level", fallback="info").lower(),
        log_config=None,  # Airflow's own stands
        access_log=False,
        timeout_graceful_shutdown=PATIENCE,
    )
    uvicorn.Server(configuration).run(sockets=[port])


def main() -> None:
    """Run as the unit's command."""
    component.shield()
    claim()
    with listen(os.environ) as port:
        notify_ready(f"serving logs on port {port.getsockname()[1]}")
        serve(port)


if __name__ == "__main__":
    main()
