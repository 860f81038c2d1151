"""Whom the web server believes about its clients."""

from __future__ import annotations

from typing import Any

import pytest

from airkiln.parameters.own import reason
from airkiln_airflow.proxies import Proxies

LOAD_BALANCER = "10.20.0.9"
TRUSTED = Proxies.parse("10.20.0.0/16")


def request(peer: str, *headers: tuple[str, str], kind: str = "http") -> dict[str, Any]:
    """A request, or a WebSocket, as uvicorn hands it on."""
    return {
        "type": kind,
        "client": (peer, 40000),
        "scheme": {"http": "http", "websocket": "ws"}[kind],
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }


def settled(scope: dict[str, Any]) -> tuple[str, str, list[str]]:
    TRUSTED.settle(scope)
    return scope["client"][0], scope["scheme"], [name.decode() for name, _ in scope["headers"]]


BY_TLS = (("host", "airflow.example.com"), ("x-forwarded-for", "203.0.113.7"), ("x-forwarded-proto", "https"))


def test_the_load_balancer_says_who_its_client_is() -> None:
    assert settled(request(LOAD_BALANCER, *BY_TLS)) == ("203.0.113.7", "https", ["host"])


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "10.21.0.9", "not an address"])
def test_nobody_else_is_believed(peer: str) -> None:
    assert settled(request(peer, *BY_TLS)) == (peer, "http", ["host"])


@pytest.mark.parametrize(
    "claimed", ["6.6.6.6, 203.0.113.7", "10.20.0.1,203.0.113.7", "for=6.6.6.6, 10.20.9.9, 203.0.113.7"]
)
def test_what_the_client_claimed_stands_before_its_own_address(claimed: str) -> None:
    """The load balancer appends; a client that is itself inside the trusted network gains nothing either."""
    assert settled(request(LOAD_BALANCER, ("x-forwarded-for", claimed)))[0] == "203.0.113.7"


def test_a_client_in_the_network_of_the_load_balancer_cannot_pass_for_another() -> None:
    worker = request(LOAD_BALANCER, ("x-forwarded-for", "6.6.6.6, 10.20.48.5"))
    assert settled(worker)[0] == "10.20.48.5"


def test_the_last_of_two_headers_counts() -> None:
    twice = request(LOAD_BALANCER, ("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "203.0.113.7"))
    assert settled(twice)[0] == "203.0.113.7"


@pytest.mark.parametrize("claimed", ["", "unknown", "203.0.113.7:4711", "_hidden"])
def test_what_is_no_address_changes_nothing(claimed: str) -> None:
    assert settled(request(LOAD_BALANCER, ("x-forwarded-for", claimed)))[0] == LOAD_BALANCER


@pytest.mark.parametrize(
    "name",
    [
        "forwarded",
        "x-forwarded-host",
        "x-forwarded-prefix",
        "x-forwarded-port",
        "x-forwarded-server",
        "x-real-ip",
        "x_forwarded_for",
    ],
)
@pytest.mark.parametrize("peer", [LOAD_BALANCER, "127.0.0.1"])
def test_what_a_load_balancer_passes_on_unchanged_reaches_nobody(name: str, peer: str) -> None:
    assert settled(request(peer, (name, "evil.example.com")))[2] == []


@pytest.mark.parametrize(
    ("proto", "scheme"), [("https", "wss"), ("HTTPS", "wss"), ("http", "ws"), ("x", "ws")]
)
def test_a_websocket_has_the_scheme_of_its_own(proto: str, scheme: str) -> None:
    assert settled(request(LOAD_BALANCER, ("x-forwarded-proto", proto), kind="websocket"))[1] == scheme


def test_an_ipv4_peer_of_an_ipv6_socket_is_known_by_its_own_address() -> None:
    assert settled(request(f"::ffff:{LOAD_BALANCER}", *BY_TLS))[0] == "203.0.113.7"


def test_a_request_without_a_peer_is_nobodys() -> None:
    scope = request(LOAD_BALANCER, *BY_TLS) | {"client": None}
    TRUSTED.settle(scope)
    assert (scope["client"], scope["scheme"]) == (None, "http")


def test_by_default_nobody_is_believed() -> None:
    scope = request("127.0.0.1", *BY_TLS)
    Proxies.parse("").settle(scope)
    assert (scope["client"][0], scope["scheme"]) == ("127.0.0.1", "http")


@pytest.mark.parametrize("text", ["*", "10.20.0.1/16", "10.20.0.0/33", "all", "0.0.0.0/0", "10.0.0.0/8,::/0"])
def test_what_would_trust_everybody_or_nobody_in_particular_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"network|address|bits|Netmask"):
        Proxies.parse(text)
    assert reason("AIRKILN_WEB_TRUSTED_PROXIES", text) is not None


@pytest.mark.parametrize(
    "text", ["", " ", "10.20.0.9", "10.20.0.0/16,fd00::/8", " 10.20.0.0/16 , 10.30.0.0/16,"]
)
def test_what_the_boot_accepts_the_web_server_follows(text: str) -> None:
    Proxies.parse(text)
    assert reason("AIRKILN_WEB_TRUSTED_PROXIES", text) is None
