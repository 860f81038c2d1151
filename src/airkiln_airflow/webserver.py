"""The process of ``airflow-webserver.service``: Airflow's web application behind its door.

It is what `airflow api-server` runs, with two differences. Every request passes the door (`door`) before
anything of Airflow sees it. And the process listens on two ports: the second one is for the public load
balancer, and leads to no task execution API. A second process (`--apps core`) would do as well, for 250 MB
more and twice the processor time of a boot.

Settings of its own, as parameters of the environment:

- AIRKILN_WEB_TRUSTED_PROXIES: networks of the load balancers, such as `10.20.0.0/16`, separated by commas. By
  default nobody is believed.
- AIRKILN_WEB_PUBLIC_PORT: the second port, 8081 by default; 0 for none.

Exit codes: 0 stopped, 3 failed to start, 78 configuration refused.
"""

from __future__ import annotations

import os
import socket
import ssl
import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

from airkiln_airflow.component import shield

if __name__ in ("__main__", "__mp_main__"):  # the latter is a process of its own, where there are several
    shield()

import uvicorn
from airflow.configuration import conf
from uvicorn.supervisors import Multiprocess

from airkiln_airflow.door import Door, Settings
from airkiln_airflow.fenced import REFUSED, RefusedError
from airkiln_airflow.proxies import Proxies
from airkiln_airflow.readiness import claim, notify_ready

PROXIES = "AIRKILN_WEB_TRUSTED_PROXIES"
PUBLIC_PORT = "AIRKILN_WEB_PUBLIC_PORT"
DEFAULT_PUBLIC_PORT = 8081

PATIENCE = 120
"""Seconds: `airflow api-server --worker-timeout` of Airflow 3.3.2."""
FAILED = 3
"""uvicorn's exit code of a server that could not start."""
_CERTIFICATES = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


def settings(environment: Mapping[str, str]) -> Settings:
    """How the door behaves here.

    :raises RefusedError: a setting cannot be followed.
    """
    try:
        proxies = Proxies.parse(environment.get(PROXIES, ""))
    except ValueError as error:
        raise RefusedError(f"{PROXIES}: {error}; write networks such as 10.20.0.0/16") from error
    port = environment.get(PUBLIC_PORT) or str(DEFAULT_PUBLIC_PORT)
    if not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise RefusedError(f"{PUBLIC_PORT} is not a port: write a number up to 65535, or 0 for none")
    if int(port) == conf.getint("api", "port"):
        raise RefusedError(f"{PUBLIC_PORT} is [api] port: write another port, or 0 for none")
    prefix = urlsplit(conf.get("api", "base_url", fallback="") or "/").path.rstrip("/")
    return Settings(proxies, int(port), prefix, conf.getboolean("api", "enable_swagger_ui"))


def application() -> Door:
    """Airflow's web application behind the door; uvicorn calls this in every process that serves."""
    door = settings(os.environ)
    from airflow.api_fastapi.main import app  # noqa: PLC0415 - makes the application

    return Door(app, door)


def configured() -> uvicorn.Config:
    """As airflow.cli.commands.api_server_command of Airflow 3.3.2 sets it up."""
    return uvicorn.Config(
        "airkiln_airflow.webserver:application",
        factory=True,
        host=conf.get("api", "host"),
        port=conf.getint("api", "port"),
        workers=conf.getint("api", "workers"),
        timeout_keep_alive=PATIENCE,
        timeout_graceful_shutdown=PATIENCE,
        timeout_worker_healthcheck=PATIENCE,
        ssl_certfile=conf.get("api", "ssl_cert") or None,
        ssl_keyfile=conf.get("api", "ssl_key") or None,
        ssl_ca_certs=conf.get("api", "ssl_ca_file", fallback=None),
        ssl_cert_reqs=_CERTIFICATES[conf.get("api", "ssl_cert_reqs", fallback="none")],
        access_log=False,  # Airflow's middleware writes it
        log_level=conf.get("logging", "uvicorn_logging_level", fallback="info").lower(),
        log_config=conf.get("api", "log_config", fallback=None) or None,
        proxy_headers=False,  # the door reads them
    )


def listen(host: str, ports: list[int]) -> list[socket.socket]:
    """Bind each port at this address. At `::`, a client of IPv4 is served as well.

    :raises OSError: the address is not one of this machine, or a port is taken.
    """
    bound = []
    for port in ports:
        family, _, _, _, at = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        each = socket.socket(family, socket.SOCK_STREAM)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        each.bind(at)
        each.set_inheritable(True)
        bound.append(each)
    return bound


class Server(uvicorn.Server):
    """A server that tells systemd when it answers."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the ports, then say so."""
        await super().startup(sockets=sockets)
        if self.started:
            notify_ready("serving")


class Servers(Multiprocess):
    """Several processes that share the ports ([api] workers); their parent tells systemd."""

    def keep_subprocess_alive(self) -> None:
        """Say so once every process answers."""
        super().keep_subprocess_alive()
        if not self.should_exit.is_set() and all(each.is_ready() for each in self.processes):
            notify_ready("serving")


def main() -> int:
    """Run as a unit's command."""
    claim()
    try:
        public = settings(os.environ).public_port
    except RefusedError as error:
        sys.stderr.write(f"refused: {error}\n")
        return REFUSED
    config = configured()
    sockets = listen(config.host, [config.port, *([public] if public else [])])
    if config.workers > 1:
        Servers(config, sockets=sockets).run()
        return 0
    server = Server(config)
    server.run(sockets)
    return 0 if server.started else FAILED


if __name__ == "__main__":
    sys.exit(main())
