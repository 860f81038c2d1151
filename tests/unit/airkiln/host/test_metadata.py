"""Instance metadata: what is asked for, and the difference between none and a slow one."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from airkiln.errors import UnavailableError
from airkiln.host import metadata as imds
from airkiln.host.instance import Instance
from airkiln.host.layout import Layout
from airkiln.host.metadata import Imds, NoImdsError

TOKEN = "a-token"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: FakeImds

    def do_PUT(self) -> None:
        self.server.calls.append(self.path)
        if self.server.trouble():
            return self._reply(self.server.status)
        if self.path != "/latest/api/token" or not self.headers["X-aws-ec2-metadata-token-ttl-seconds"]:
            return self._reply(400)
        self.server.token = self.server.token or TOKEN
        return self._reply(200, self.server.issued or self.server.token)

    def do_GET(self) -> None:
        self.server.calls.append(self.path)
        if self.server.trouble():
            return self._reply(self.server.status)
        if self.headers["X-aws-ec2-metadata-token"] != self.server.token:
            return self._reply(401)
        text = self.server.data.get(self.path.removeprefix("/latest/meta-data/"))
        return self._reply(404) if text is None else self._reply(200, text)

    def _reply(self, status: int, text: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class FakeImds(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.data = {
            "instance-id": "i-0123",
            "placement/region": "eu-west-1",
            "tags/instance/airkiln:role": "worker",
            "tags/instance/airkiln:environment": "prod",
        }
        self.calls: list[str] = []
        self.token = TOKEN
        self.issued = ""
        """A token that is handed out and not accepted."""
        self.failures = 0
        self.status = 503
        self.delay = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def trouble(self) -> bool:
        if self.failures:
            self.failures -= 1
            time.sleep(self.delay)
            return True
        return False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is part of the tests."""


@pytest.fixture
def metadata() -> Iterator[FakeImds]:
    with FakeImds() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def client(url: str, *, is_ec2: bool = False, timeout: float = 1.0) -> Imds:
    return Imds(url, is_ec2=is_ec2, timeout=timeout, sleep=lambda _: None)


def test_the_instance_is_identified_with_one_token(metadata: FakeImds) -> None:
    with client(metadata.url) as connection:
        assert connection.identity() == Instance("i-0123", "eu-west-1", "worker", "prod")
    assert metadata.calls.count("/latest/api/token") == 1


def test_a_connection_that_is_kept_for_hours_renews_its_token(metadata: FakeImds) -> None:
    clock = iter([0.0, 1.0, 200.0, 200.0])
    with client(metadata.url) as connection:
        connection._clock = lambda: next(clock)
        for _ in range(3):
            assert connection.get("meta-data/instance-id") == "i-0123"
    assert metadata.calls.count("/latest/api/token") == 2


def test_a_token_that_metadata_has_forgotten_is_replaced_at_once(metadata: FakeImds) -> None:
    waits: list[float] = []
    with Imds(metadata.url, sleep=waits.append) as connection:
        connection.get("meta-data/instance-id")
        metadata.token = ""
        assert connection.get("meta-data/instance-id") == "i-0123"
    assert (metadata.calls.count("/latest/api/token"), waits) == (2, [])


def test_metadata_that_refuses_every_token_is_a_failure(metadata: FakeImds) -> None:
    metadata.issued = "another"
    with client(metadata.url, is_ec2=True) as connection, pytest.raises(UnavailableError, match="5 new tok"):
        connection.get("meta-data/instance-id")
    assert metadata.calls.count("/latest/api/token") == 5


def test_a_missing_tag_is_none(metadata: FakeImds) -> None:
    del metadata.data["tags/instance/airkiln:role"]
    with client(metadata.url) as connection:
        assert connection.identity().role is None


def test_the_endpoint_is_botos_variable(metadata: FakeImds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url)
    with Imds() as connection:
        assert connection.get("meta-data/instance-id") == "i-0123"


def test_passing_errors_are_tried_again(metadata: FakeImds) -> None:
    metadata.failures = 3
    with client(metadata.url) as connection:
        assert connection.identity().role == "worker"


def test_an_answer_that_came_too_late_is_asked_for_again(metadata: FakeImds) -> None:
    metadata.failures, metadata.delay = 1, 0.5
    with client(metadata.url, timeout=0.1) as connection:
        assert connection.identity().role == "worker"


@pytest.mark.parametrize("delay", [0.0, 0.4])
def test_metadata_that_is_there_and_never_answers_is_a_failure(metadata: FakeImds, delay: float) -> None:
    metadata.failures, metadata.delay = 100, delay
    with client(metadata.url, timeout=0.1) as connection, pytest.raises(UnavailableError, match="5 times"):
        connection.identity()


def closed_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_refused_connection_means_no_metadata_at_once() -> None:
    with client(closed_port()) as connection, pytest.raises(NoImdsError):
        connection.identity()


def test_on_ec2_hardware_a_refused_connection_is_waited_for_and_then_a_failure() -> None:
    waits: list[float] = []
    connection = Imds(closed_port(), is_ec2=True, sleep=waits.append)
    with pytest.raises(UnavailableError):
        connection.identity()
    assert len(waits) == 4


def test_an_address_that_swallows_packets_means_no_metadata_after_two_tries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries: list[object] = []

    def swallow(*arguments: object, **_: object) -> socket.socket:
        tries.append(arguments)
        raise TimeoutError

    monkeypatch.setattr("socket.create_connection", swallow)
    with client("http://169.254.169.254") as connection, pytest.raises(NoImdsError):
        connection.identity()
    assert len(tries) == 2


@pytest.mark.parametrize("status", [400, 403, 404, 405])
def test_another_clouds_metadata_is_none(metadata: FakeImds, status: int) -> None:
    metadata.failures, metadata.status = 100, status
    with client(metadata.url) as connection, pytest.raises(NoImdsError):
        connection.identity()


def test_ec2_metadata_that_is_switched_off_is_a_failure(metadata: FakeImds) -> None:
    metadata.failures, metadata.status = 100, 403
    with client(metadata.url, is_ec2=True) as connection, pytest.raises(UnavailableError, match="enable it"):
        connection.identity()


@pytest.mark.parametrize(
    ("vendor", "is_ec2"), [("Amazon EC2\n", True), ("QEMU\n", False), ("", False), (None, False)]
)
def test_the_machines_firmware_says_whether_it_is_ec2(
    tmp_path: Path, vendor: str | None, is_ec2: bool
) -> None:
    layout = Layout(tmp_path)
    if vendor is not None:
        layout.dmi_vendor.parent.mkdir(parents=True)
        layout.dmi_vendor.write_text(vendor)
    assert imds.made_by_amazon(layout) is is_ec2
