"""What the configuration of load balancers is written from. Conditions and actions are those of the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

TRAFFIC_PORT = "traffic-port"
"""HealthCheckPort of a target group whose targets are checked at the port that they serve at."""


@dataclass(frozen=True)
class Target:
    """A registered target."""

    name: str
    """The id of an instance, or an address."""
    address: IPv4Address
    port: int
    proven: bool
    """Whether it has passed a health check since it was registered: until then, one is enough."""


@dataclass(frozen=True)
class HealthCheck:
    """How a target group checks its targets; times in seconds, thresholds in consecutive checks."""

    path: str
    port: str
    interval: int
    timeout: int
    healthy: int
    unhealthy: int
    codes: str
    """Such as ``200`` or ``200-299,301``."""


@dataclass(frozen=True)
class TargetGroup:
    """A target group that a load balancer uses."""

    name: str
    source: IPv4Address
    """The load balancer's address, from which it reaches targets."""
    protocol: str
    algorithm: str
    idle: int
    """Seconds without data after which a connection to a target ends."""
    delay: int
    """Seconds for which a deregistered target keeps its connections."""
    check: HealthCheck | None
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class Rule:
    """A rule of a listener. Without conditions it is the listener's default."""

    conditions: tuple[Mapping[str, Any], ...]
    actions: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Tls:
    """How a listener speaks TLS."""

    versions: tuple[str, ...]
    """Such as ``TLSv1.3``."""
    ciphers: tuple[str, ...]
    certificates: tuple[str, ...]
    """Paths of the certificates with their keys; the default one first."""


@dataclass(frozen=True)
class Listener:
    """A listener of a load balancer."""

    port: int
    tls: Tls | None
    rules: tuple[Rule, ...]
    """By priority; the default last."""


@dataclass(frozen=True)
class LoadBalancer:
    """An Application Load Balancer."""

    name: str
    address: IPv4Address
    attributes: Mapping[str, str]
    listeners: tuple[Listener, ...]

    @property
    def idle(self) -> int:
        """Seconds after which a connection without data ends; 60 is the API's default."""
        return int(self.attributes.get("idle_timeout.timeout_seconds", "60"))


@dataclass(frozen=True)
class Desired:
    """Everything that the load balancers' machine has to serve."""

    addresses: tuple[IPv4Address, ...]
    configuration: str
    certificates: Mapping[str, str]
    """Certificate, chain and key by the paths that the configuration names. Secret: for memory only."""


@dataclass(frozen=True)
class Check:
    """What the last health check of a target found, in HAProxy's words (its management guide, 9.1)."""

    status: str
    """``UP`` or ``DOWN``, perhaps with the number of checks that would change it: ``DOWN 1/2``."""
    result: str
    """Such as ``L7OK`` or ``L4CON``; empty before the first check."""
    code: str
    """The HTTP status, if there was one."""

    @property
    def up(self) -> bool:
        """Whether the target gets requests."""
        return self.status.startswith("UP")
