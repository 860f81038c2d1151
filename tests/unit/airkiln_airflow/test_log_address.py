"""The address that Airflow notes for the logs of a task."""

from __future__ import annotations

import errno
import os
import socket
from ipaddress import IPv4Address
from typing import ClassVar

import pytest

from airkiln_airflow import log_address


class Probe:
    """A socket on a host whose routes the test chooses."""

    source: ClassVar[str | None]
    asked: ClassVar[list[tuple[str, int]]]

    def __init__(self, family: int, kind: int) -> None:
        assert (family, kind) == (socket.AF_INET, socket.SOCK_DGRAM), "anything else would send something"

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def connect(self, address: tuple[str, int]) -> None:
        self.asked.append(address)
        if self.source is None:
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))

    def getsockname(self) -> tuple[str | None, int]:
        return self.source, 40000


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> type[Probe]:
    Probe.source, Probe.asked = "10.42.16.4", []
    monkeypatch.setattr(socket, "socket", Probe)
    return Probe


def test_it_is_the_address_by_which_the_host_reaches_others(probe: type[Probe]) -> None:
    assert log_address.get() == "10.42.16.4"
    assert probe.asked == [("169.254.169.254", 80)]


def test_a_host_without_a_route_serves_its_logs_to_itself(probe: type[Probe]) -> None:
    probe.source = None
    assert log_address.get() == "127.0.0.1"


def test_on_this_host_it_is_an_address_that_can_be_bound() -> None:
    found = log_address.get()
    assert str(IPv4Address(found)) == found
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.bind((found, 0))
