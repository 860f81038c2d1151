"""Whom the web server believes about its clients: the load balancer, and nobody else.

A load balancer says in headers who its client is and that the client came by TLS. Whoever else sends such
headers lies: about the address that the limit of logins counts, about TLS, or about the host to which
people are redirected. An Application Load Balancer appends the address of its client to X-Forwarded-For
and replaces X-Forwarded-Proto and X-Forwarded-Port; X-Forwarded-Host, X-Forwarded-Prefix and Forwarded it
passes on as the client wrote them. So the last address counts, from a trusted peer, and nothing
downstream sees any of these headers.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

Scope = MutableMapping[str, Any]
Address = IPv4Address | IPv6Address

_FOR = b"x-forwarded-for"
_PROTO = b"x-forwarded-proto"
_OTHERS = (b"forwarded", b"x-real-ip")
_SECURE = {"http": "https", "ws": "wss"}


@dataclass(frozen=True)
class Proxies:
    """The addresses of the load balancers."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Proxies:
        """Networks such as `10.20.0.0/16`, separated by commas; empty for none.

        :raises ValueError: it is not such a list, or a network is everybody's.
        """
        networks = tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
        if any(network.prefixlen == 0 for network in networks):
            raise ValueError("a network of all addresses trusts everybody")
        return cls(networks)

    def __contains__(self, peer: object) -> bool:
        return any(peer in network for network in self.networks)

    def settle(self, scope: Scope) -> None:
        """Give the request its client and scheme, and take away what claims to know them.

        :param scope: of a request or a WebSocket in ASGI; changed in place.
        """
        headers = list(scope["headers"])
        scope["headers"] = [(name, value) for name, value in headers if not _claims(name)]
        peer = address(scope["client"][0]) if scope.get("client") else None
        if peer is None or peer not in self:
            return
        client = address(_last(headers, _FOR))
        if client is not None:
            scope["client"] = (str(client), 0)
        if _last(headers, _PROTO).lower() == "https":
            scope["scheme"] = _SECURE.get(scope["scheme"], scope["scheme"])


def address(text: str) -> Address | None:
    """The address, an IPv4 address as such even where the socket is one of IPv6; None for anything else."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def _claims(name: bytes) -> bool:
    name = name.replace(b"_", b"-")  # the same variable to a WSGI application
    return name.startswith(b"x-forwarded-") or name in _OTHERS


def _last(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str:
    """The last item of a header that is a list, which the nearest proxy wrote."""
    values = [value for given, value in headers if given == name]
    return values[-1].rpartition(b",")[2].decode("latin1").strip() if values else ""
