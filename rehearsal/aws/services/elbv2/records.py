"""Reads moto's records of load balancers and target groups as ``models``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address

from moto.acm.models import AWS_ROOT_CA, CertBundle
from moto.elbv2.models import FakeListener, FakeLoadBalancer, FakeTargetGroup
from moto.elbv2.ssl_policies import SSL_POLICIES

from rehearsal.aws.services.elbv2.actions import group_of
from rehearsal.aws.services.elbv2.configuration import FOLDER
from rehearsal.aws.services.elbv2.models import (
    HealthCheck,
    Listener,
    LoadBalancer,
    Rule,
    Target,
    TargetGroup,
    Tls,
)
from rehearsal.aws.services.patching import Moto

DEFAULT_POLICY = "ELBSecurityPolicy-2016-08"
"""Of a listener of HTTPS that a request creates without one (API reference, CreateListener)."""


class Certificates:
    """The certificates that listeners use, and the files that hold them."""

    def __init__(self, find: Moto) -> None:
        """:param find: returns Certificate Manager's record of an ARN."""
        self._find = find
        self.files: dict[str, str] = {}
        """Certificate, chain and key by path."""

    def path(self, arn: str) -> str:
        """The path of a certificate."""
        found: CertBundle = self._find(arn)
        # moto adds a root to every chain.
        parts = [found.cert, found.chain.replace(AWS_ROOT_CA, b""), found.key]
        text = "".join(f"{part.decode('ascii').strip()}\n" for part in parts if part.strip())
        path = f"{FOLDER}/{hashlib.sha256(text.encode()).hexdigest()[:16]}.pem"
        self.files[path] = text
        return path


def load_balancer(record: FakeLoadBalancer, address: IPv4Address, certificates: Certificates) -> LoadBalancer:
    """The load balancer of a record."""
    listeners = tuple(_listener(each, certificates) for each in list(record.listeners.values()))
    return LoadBalancer(record.name, address, dict(record.attrs), listeners)


def target_group(record: FakeTargetGroup, balancer: LoadBalancer, targets: Iterable[Target]) -> TargetGroup:
    """The target group of a record, as the load balancer uses it."""
    attributes = record.attributes
    check = HealthCheck(
        path=record.health_check_path or "/",
        port=str(record.health_check_port),
        interval=int(record.health_check_interval_seconds),
        timeout=int(record.health_check_timeout_seconds),
        healthy=int(record.healthy_threshold_count),
        unhealthy=int(record.unhealthy_threshold_count),
        codes=str(record.matcher["HttpCode"]),
    )
    return TargetGroup(
        name=record.name,
        source=balancer.address,
        protocol=str(record.protocol),
        algorithm=str(attributes["load_balancing.algorithm.type"]),
        idle=balancer.idle,
        delay=delay(record),
        check=check if record.health_check_enabled else None,
        targets=tuple(targets),
    )


def delay(record: FakeTargetGroup) -> int:
    """Seconds of a target group's deregistration delay."""
    return int(str(record.attributes["deregistration_delay.timeout_seconds"]))


def groups_of(record: FakeLoadBalancer) -> Iterator[str]:
    """ARNs of the target groups to which the rules of a load balancer forward."""
    for listener in list(record.listeners.values()):
        for rule in listener.rules.values():
            yield from (group_of(action.data) for action in rule.actions if action.type == "forward")


def _listener(record: FakeListener, certificates: Certificates) -> Listener:
    others = [rule for rule in record.rules.values() if not rule.is_default]
    default = [rule for rule in record.rules.values() if rule.is_default]
    rules = [*sorted(others, key=lambda rule: int(rule.priority)), *default]
    return Listener(
        int(record.port),
        _tls(record, certificates) if record.protocol == "HTTPS" else None,
        tuple(Rule(tuple(rule.conditions), tuple(each.data for each in rule.actions)) for rule in rules),
    )


def _tls(record: FakeListener, certificates: Certificates) -> Tls:
    policy = SSL_POLICIES[record.ssl_policy or DEFAULT_POLICY]
    paths = [certificates.path(arn) for arn in dict.fromkeys(record.certificates) if arn]
    return Tls(tuple(policy["ssl_protocols"]), tuple(policy["ciphers"]), tuple(paths))
