"""The way to the Airflow of an environment: its load balancer, and the certificate that a client verifies."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from rehearsal.aws import authority
from rehearsal.deployment import environment as deployment
from rehearsal.deployment.environment import HOST, LOOPBACK, Environment
from rehearsal.deployment.seed import Login
from rehearsal.errors import RehearsalError
from rehearsal.region import Region
from tests.unit.rehearsal.aws.services.elbv2.balancers import Balancers, client, emulate


class Handler(BaseHTTPRequestHandler):
    """Answers every request with an object."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"access_token": "token", "dags": []}')

    do_POST = do_GET  # noqa: N815 - a name of http.server

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    monkeypatch.setattr(authority, "FOLDER", tmp_path / "authority")
    monkeypatch.setattr(Region, "home", property(lambda _: tmp_path))
    monkeypatch.setattr(deployment, "client", client)
    return Environment(Region("unit"))


@pytest.fixture
def aws() -> Iterator[Balancers]:
    with emulate() as made:
        yield made


def serve(folder: Path, certificate: str, key: str) -> ThreadingHTTPServer:
    (folder / "server.pem").write_text(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    server = ThreadingHTTPServer((str(LOOPBACK), 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def knows(environment: Environment, port: int) -> bool:
    return environment.airflow(port, Login("admin", "secret")).knows("none")


def test_a_client_reaches_it_by_tls_at_the_printed_address(environment: Environment, tmp_path: Path) -> None:
    key, certificate = authority.key_and_certificate(HOST, LOOPBACK)
    server = serve(tmp_path, certificate, key)
    assert not knows(environment, server.server_port)
    key, certificate = authority.key_and_certificate(HOST)
    other = serve(tmp_path, certificate, key)
    with pytest.raises(RehearsalError, match="IP address mismatch"):
        knows(environment, other.server_port)
    for each in (server, other):
        each.shutdown()
        each.server_close()


def test_the_load_balancer_is_found_by_its_network_interface(
    environment: Environment, aws: Balancers
) -> None:
    with pytest.raises(RehearsalError, match="no load balancer"):
        environment.load_balancer()
    aws.load_balancer("airkiln-local-public")
    arn, _ = aws.load_balancer("airkiln-local-internal")
    assert environment.load_balancer() == aws.address(arn)


def test_its_certificate_is_imported_once_and_the_key_is_in_no_file(
    environment: Environment, aws: Balancers, tmp_path: Path
) -> None:
    first = deployment._certificate()
    assert deployment._certificate() == first
    described: dict[str, Any] = aws.acm.describe_certificate(CertificateArn=first)["Certificate"]
    assert described["Type"] == "IMPORTED"
    assert described["SubjectAlternativeNames"] == [HOST, str(LOOPBACK)]
    keys = [path for path in tmp_path.rglob("*") if path.is_file() and "PRIVATE KEY" in path.read_text()]
    assert keys == [authority.FOLDER / "key.pem"]


def test_tasks_reach_the_web_servers_as_the_stacks_say(environment: Environment) -> None:
    assert "EXECUTION_API" not in str(environment.variables("ami-1", "arn", "Z1"))
