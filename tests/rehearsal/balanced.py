"""A load balancer of the emulated AWS with two small web servers, each in a network namespace of its own."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from rehearsal.aws import authority
from rehearsal.aws.client import client
from rehearsal.aws.services.elbv2.haproxy import HAProxy
from rehearsal.linux.network import Network, enter_network, wait_for_port
from rehearsal.region import Region
from tests.support.waiting import PATIENCE, until

NAME = "web.example.internal"
PORT = 8080
TARGETS = (IPv4Address("10.42.0.101"), IPv4Address("10.42.0.102"))
REFUSED = {"StatusCode": "404", "ContentType": "text/plain", "MessageBody": "It's not here"}


class Handler(BaseHTTPRequestHandler):
    """Answers /slow when told to, paths that fail with 503, and every other request with what it got."""

    server: Web

    def do_GET(self) -> None:
        status = 503 if self.path in self.server.failing else 200
        if self.path == "/slow":
            self.server.arrived.set()
            self.server.go.wait(PATIENCE)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = json.dumps({"server": self.server.name, "path": self.path, **headers}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


class Web(ThreadingHTTPServer):
    """A web server that the tests make fail or wait."""

    daemon_threads = True

    def __init__(self, address: IPv4Address) -> None:
        self.name = str(address)
        self.failing: set[str] = set()
        """Paths that it answers with 503."""
        self.arrived, self.go = threading.Event(), threading.Event()
        super().__init__((self.name, PORT), Handler)

    def handle_error(self, *_: object) -> None:
        """Say nothing: a health check may end its connection before the answer's end."""


@dataclass
class Answer:
    """What the load balancer answered."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def seen(self) -> dict[str, str]:
        """What the target saw, names of headers in lower case, and the target's name."""
        found: dict[str, str] = json.loads(self.body)
        return found


@dataclass
class Balanced:
    """The load balancer, its target group and the servers."""

    region: Region
    arn: str
    groups: dict[str, str] = field(default_factory=dict)
    """ARNs of the target groups by name."""
    servers: list[Web] = field(default_factory=list)

    @cached_property
    def address(self) -> IPv4Address:
        """The address of its network interface."""
        described = [{"Name": "description", "Values": [f"ELB {self.arn.rpartition('loadbalancer/')[2]}"]}]
        with Network(self.region).visit():
            answer = client("ec2").describe_network_interfaces(Filters=described)
        (found,) = answer["NetworkInterfaces"]
        return IPv4Address(found["PrivateIpAddress"])

    @property
    def described(self) -> dict[str, Any]:
        """What DescribeLoadBalancers says of it."""
        asked = {"LoadBalancerArns": [self.arn]}
        found: dict[str, Any] = self.call("describe_load_balancers", **asked)["LoadBalancers"][0]
        return found

    @property
    def name(self) -> str:
        """Its DNS name."""
        return str(self.described["DNSName"])

    def listens(self) -> bool:
        """Whether somebody listens at its port 80."""
        with Network(self.region).visit():
            return wait_for_port(self.address, 80, 1)

    def complete(self) -> bool:
        """Whether the rule that was made last is followed."""
        try:
            return self.ask("/empty").status == 503
        except OSError:
            return False

    @contextmanager
    def another(self) -> Iterator[Balanced]:
        """A second load balancer, which redirects elsewhere, until the block ends."""
        subnets = [each["SubnetId"] for each in self.described["AvailabilityZones"]]
        (made,) = self.call("create_load_balancer", Name="other", Subnets=subnets)["LoadBalancers"]
        other = Balanced(self.region, made["LoadBalancerArn"])
        redirect = {"Type": "redirect", "RedirectConfig": {"Port": "81", "StatusCode": "HTTP_302"}}
        listener = {"LoadBalancerArn": other.arn, "Protocol": "HTTP", "Port": 80}
        self.call("create_listener", **listener, DefaultActions=[redirect])
        try:
            until(other.listens, "it listens")
            yield other
        finally:
            self.call("delete_load_balancer", LoadBalancerArn=other.arn)

    def ask(self, path: str, *, port: int = 443, **headers: str) -> Answer:
        """The answer to a request; by TLS at port 443. Underscores in names of headers stand for hyphens."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.send(path, sent, port=port)

    def send(self, path: str, headers: dict[str, str], *, port: int = 443) -> Answer:
        """The answer to a request with these headers."""
        connection = HTTPConnection(NAME)
        connection.sock = self.connect(port)
        connection.request("GET", path, headers=headers)
        answer: HTTPResponse = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return Answer(answer.status, dict(answer.headers), body)

    def connect(self, port: int = 443, *, newest: ssl.TLSVersion | None = None) -> socket.socket:
        """A connection to the load balancer; at port 443 by TLS, which verifies its name."""
        with Network(self.region).visit():
            plain = socket.create_connection((str(self.address), port), timeout=PATIENCE)
        if port != 443:
            return plain
        context = ssl.create_default_context(cadata=authority.certificate())
        if newest is not None:
            context.maximum_version = newest
        return context.wrap_socket(plain, server_hostname=NAME)

    def call(self, operation: str, **given: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3
        """The answer of Elastic Load Balancing to one request."""
        with Network(self.region).visit():
            answer: dict[str, Any] = getattr(client("elbv2"), operation)(**given)
        return answer

    def health(self, group: str = "web") -> dict[str, str]:
        """The state of each target."""
        asked = {"TargetGroupArn": self.groups[group]}
        found = self.call("describe_target_health", **asked)["TargetHealthDescriptions"]
        return {each["Target"]["Id"]: each["TargetHealth"]["State"] for each in found}

    def wait_for(self, *states: str, group: str = "web") -> None:
        """Wait until the targets are in these states."""
        wanted = dict(zip(map(str, TARGETS), states, strict=True))
        until(lambda: self.health(group) == wanted, lambda: f"{group}: {wanted}, but {self.health(group)}")

    def answering(self, path: str = "/") -> set[str]:
        """The servers that answer some requests."""
        return {self.ask(path).seen["server"] for _ in range(6)}


@contextmanager
def balanced(region: Region) -> Iterator[Balanced]:
    """Make all of it until the block ends."""
    HAProxy(region).build()
    network = Network(region)
    servers: list[Web] = []
    with contextlib.ExitStack() as after:
        for number, address in enumerate(TARGETS):
            _serve(network.add_machine(f"target-{number}", address), address, servers)
            after.callback(network.remove_machine, f"target-{number}")
            after.callback(servers[number].server_close)
            after.callback(servers[number].shutdown)
        with network.visit():
            made = Balanced(region, *_load_balancer(), servers)
        after.callback(made.call, "delete_load_balancer", LoadBalancerArn=made.arn)
        until(made.complete, "the load balancer follows its last rule")
        yield made


def _serve(namespace: Path, address: IPv4Address, servers: list[Web]) -> None:
    """Serve in a namespace: a socket stays in the one in which it was made."""
    ready = threading.Event()

    def run() -> None:
        enter_network(namespace)
        servers.append(Web(address))
        ready.set()
        servers[-1].serve_forever()

    threading.Thread(target=run, daemon=True).start()
    assert ready.wait(PATIENCE)


def _load_balancer() -> tuple[str, dict[str, str]]:
    """A load balancer with its listeners and rules; returns its ARN, and those of the target groups by name.

    Both servers are targets of two groups, which check different paths.
    """
    elbv2 = client("elbv2")
    subnets = client("ec2").describe_subnets()["Subnets"]
    vpc = subnets[0]["VpcId"]
    key, certificate = authority.key_and_certificate(NAME)
    imported = client("acm").import_certificate(Certificate=certificate, PrivateKey=key)["CertificateArn"]
    (made,) = elbv2.create_load_balancer(
        Name="web", Scheme="internal", Subnets=[each["SubnetId"] for each in subnets[:2]]
    )["LoadBalancers"]
    arn = made["LoadBalancerArn"]
    elbv2.modify_load_balancer_attributes(
        LoadBalancerArn=arn,
        Attributes=[{"Key": "routing.http.drop_invalid_header_fields.enabled", "Value": "true"}],
    )
    groups = {name: _group(elbv2, vpc, name) for name in ("web", "other", "refusing", "empty")}
    for name in ("web", "other"):
        both = [{"Id": str(each)} for each in TARGETS]
        elbv2.register_targets(TargetGroupArn=groups[name], Targets=both)
    refusing = [{"Id": str(TARGETS[0]), "Port": 9}]
    elbv2.register_targets(TargetGroupArn=groups["refusing"], Targets=refusing)
    redirect = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
    listener = {"LoadBalancerArn": arn, "Protocol": "HTTPS", "Port": 443}
    (secure,) = elbv2.create_listener(
        **listener,
        SslPolicy="ELBSecurityPolicy-TLS13-1-3-2021-06",
        Certificates=[{"CertificateArn": imported}],
        DefaultActions=[_forward(groups["web"])],
    )["Listeners"]
    elbv2.create_listener(
        **listener | {"Protocol": "HTTP", "Port": 80},
        DefaultActions=[{"Type": "redirect", "RedirectConfig": redirect}],
    )
    rules = [
        (
            {"RegexValues": ["^/*[Ee]xecution(/.*)?$"]},
            {"Type": "fixed-response", "FixedResponseConfig": REFUSED},
        ),
        ({"Values": ["/refused"]}, _forward(groups["refusing"])),
        ({"Values": ["/other"]}, _forward(groups["other"])),
        ({"Values": ["/empt?"]}, _forward(groups["empty"])),
    ]
    for priority, (paths, action) in enumerate(rules, start=1):
        elbv2.create_rule(
            ListenerArn=secure["ListenerArn"],
            Priority=priority,
            Conditions=[{"Field": "path-pattern", "PathPatternConfig": paths}],
            Actions=[action],
        )
    return arn, groups


def _group(elbv2: Any, vpc: str, name: str) -> str:  # noqa: ANN401 - boto3
    (made,) = elbv2.create_target_group(
        Name=name,
        Protocol="HTTP",
        Port=PORT,
        VpcId=vpc,
        TargetType="ip",
        HealthCheckPath=f"/live/{name}",
        HealthCheckIntervalSeconds=5,
        HealthCheckTimeoutSeconds=2,
        HealthyThresholdCount=2,
        UnhealthyThresholdCount=2,
    )["TargetGroups"]
    return str(made["TargetGroupArn"])


def _forward(group: str) -> dict[str, str]:
    return {"Type": "forward", "TargetGroupArn": group}
