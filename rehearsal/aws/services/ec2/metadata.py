"""Emulates the instance metadata service, version 2, at http://169.254.169.254.

The source address identifies the instance, as in EC2. Every request needs a token (``PUT /latest/api/token``
with a time to live of 1 to 21600 s), which is valid only for the address that fetched it. Source: the EC2
user guide, "Access instance metadata for an EC2 instance" and "Instance metadata categories".

Left out: version 1, hop limits, maintenance events, and most categories that nothing here reads. The
credentials of a role are dummies that expire after six hours.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from rehearsal.aws.account import ACCOUNT, instance_access_key

TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN_HEADER = "X-aws-ec2-metadata-token"  # noqa: S105 - the name of a header, not a secret
LONGEST_TTL = 21600
CREDENTIALS_LIFE = timedelta(hours=6)
STAMP = "%Y-%m-%dT%H:%M:%SZ"

Tree = Mapping[str, "Tree | str"]


@dataclass(frozen=True)
class InstanceFacts:
    """What the metadata service serves about one instance."""

    instance_id: str
    image_id: str
    instance_type: str
    private_ip: str
    private_dns: str
    mac: str
    region: str
    zone: str
    launched: datetime
    interface_id: str = ""
    subnet_id: str = ""
    vpc_id: str = ""
    subnet_cidr: str = "10.42.0.0/16"
    vpc_cidr: str = "10.42.0.0/16"
    architecture: str = "x86_64"
    security_groups: tuple[str, ...] = ()
    reservation_id: str = ""
    key_name: str | None = None
    public_key: str | None = None
    role: str | None = None
    profile_arn: str = ""
    profile_id: str = ""
    user_data: bytes | None = None
    tags: Mapping[str, str] | None = None
    """None unless InstanceMetadataTags is enabled."""
    enabled: bool = True
    """Whether HttpEndpoint of the metadata options is ``enabled``."""
    life_cycle: str = "on-demand"
    target_lifecycle_state: str | None = None
    """None outside an Auto Scaling group."""
    spot_end: datetime | None = None
    """None until a Spot notice."""
    rebalance_at: datetime | None = None
    """None until a rebalance recommendation."""


def credentials(facts: InstanceFacts, now: datetime) -> str:
    """Return the document at ``iam/security-credentials/<role>``."""
    stamp = STAMP
    return json.dumps(
        {
            "Code": "Success",
            "LastUpdated": now.strftime(stamp),
            "Type": "AWS-HMAC",
            "AccessKeyId": instance_access_key(facts.instance_id),
            "SecretAccessKey": "rehearsal",
            "Token": f"rehearsal-{facts.role}",
            "Expiration": (now + CREDENTIALS_LIFE).strftime(stamp),
        },
        indent=2,
    )


def identity_document(facts: InstanceFacts) -> str:
    """Return the instance identity document, unsigned."""
    return json.dumps(
        {
            "accountId": ACCOUNT,
            "architecture": facts.architecture,
            "availabilityZone": facts.zone,
            "imageId": facts.image_id,
            "instanceId": facts.instance_id,
            "instanceType": facts.instance_type,
            "pendingTime": facts.launched.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "privateIp": facts.private_ip,
            "region": facts.region,
            "version": "2017-09-30",
        },
        indent=2,
    )


def metadata(facts: InstanceFacts, now: datetime) -> Tree:
    """Return everything below ``/latest/meta-data/`` as a tree of folders and texts."""
    interface = {
        "device-number": "0",
        "interface-id": facts.interface_id,
        "local-hostname": facts.private_dns,
        "local-ipv4s": facts.private_ip,
        "mac": facts.mac,
        "owner-id": ACCOUNT,
        "security-groups": "\n".join(facts.security_groups),
        "subnet-id": facts.subnet_id,
        "subnet-ipv4-cidr-block": facts.subnet_cidr,
        "vpc-id": facts.vpc_id,
        "vpc-ipv4-cidr-block": facts.vpc_cidr,
        "vpc-ipv4-cidr-blocks": facts.vpc_cidr,
    }
    tree: dict[str, Tree | str] = {
        "ami-id": facts.image_id,
        "ami-launch-index": "0",
        "hostname": facts.private_dns,
        "instance-action": "none",
        "instance-id": facts.instance_id,
        "instance-life-cycle": facts.life_cycle,
        "instance-type": facts.instance_type,
        "local-hostname": facts.private_dns,
        "local-ipv4": facts.private_ip,
        "mac": facts.mac,
        "network": {"interfaces": {"macs": {facts.mac: interface}}},
        "placement": {
            "availability-zone": facts.zone,
            "availability-zone-id": f"use1-az{ord(facts.zone[-1]) - ord('a') + 1}",
            "region": facts.region,
        },
        "reservation-id": facts.reservation_id,
        "security-groups": "\n".join(facts.security_groups),
        "services": {"domain": "amazonaws.com", "partition": "aws"},
    }
    if facts.public_key:
        tree["public-keys"] = {"0": {"openssh-key": facts.public_key}}
    if facts.role:
        info = {
            "Code": "Success",
            "InstanceProfileArn": facts.profile_arn,
            "InstanceProfileId": facts.profile_id,
        }
        tree["iam"] = {
            "info": json.dumps(info | {"LastUpdated": now.strftime("%Y-%m-%dT%H:%M:%SZ")}),
            "security-credentials": {facts.role: credentials(facts, now)},
        }
    if facts.target_lifecycle_state:
        tree["autoscaling"] = {"target-lifecycle-state": facts.target_lifecycle_state}
    if facts.spot_end:
        end = facts.spot_end.strftime(STAMP)
        tree["spot"] = {
            "instance-action": json.dumps({"action": "terminate", "time": end}),
            "termination-time": end,
        }
    if facts.rebalance_at:
        recommended = json.dumps({"noticeTime": facts.rebalance_at.strftime(STAMP)})
        tree["events"] = {"recommendations": {"rebalance": recommended}}
    if facts.tags:
        tree["tags"] = {"instance": dict(facts.tags)}
    return tree


def look_up(tree: Tree, path: str, facts: InstanceFacts) -> str | None:
    """Return the text at a path, the listing of a folder, or None where there is nothing (404)."""
    node: Tree | str = tree
    words = [unquote(word) for word in path.split("/") if word]
    for word in words:
        if isinstance(node, str) or word not in node:
            return None
        node = node[word]
    if isinstance(node, str):
        return node
    if words == ["public-keys"]:
        return f"0={facts.key_name}"
    return "\n".join(name if isinstance(below, str) else f"{name}/" for name, below in node.items())


def answer(facts: InstanceFacts, path: str, now: datetime) -> str | bytes | None:
    """Return what a GET of ``path`` serves, or None (404). Every dated version equals ``latest``."""
    _, _, rest = path.lstrip("/").partition("/")
    first, _, below = rest.partition("/")
    if first == "meta-data":
        return look_up(metadata(facts, now), below, facts)
    if first == "user-data":
        return facts.user_data
    if first == "dynamic":
        dynamic: Tree = {"instance-identity": {"document": identity_document(facts)}}
        return look_up(dynamic, below, facts)
    if not first:
        return "dynamic\nmeta-data" + ("" if facts.user_data is None else "\nuser-data")
    return None


@dataclass
class Tokens:
    """Session tokens, each valid for one address until it expires (seconds of ``clock``)."""

    clock: Callable[[], float] = time.monotonic
    issued: dict[str, tuple[str, float]] = field(default_factory=dict)

    def issue(self, address: str, seconds: int) -> str:
        """Return a new token for an address, valid for that many seconds."""
        now = self.clock()
        for token in [token for token, (_, ends) in self.issued.items() if ends <= now]:
            self.issued.pop(token, None)
        token = secrets.token_urlsafe(40)
        self.issued[token] = (address, now + seconds)
        return token

    def forget(self, address: str) -> None:
        """Make the tokens of an address invalid, as a live migration may."""
        for token in [token for token, (owner, _) in self.issued.items() if owner == address]:
            self.issued.pop(token, None)

    def valid(self, token: str | None, address: str) -> bool:
        """Return whether the token was issued to that address and has not expired."""
        owner, ends = self.issued.get(token or "", ("", 0.0))
        return owner == address and self.clock() < ends


def server(
    bind: tuple[str, int],
    find: Callable[[str], InstanceFacts | None],
    wait_while_unavailable: Callable[[str], None] = lambda _: None,
    tokens: Tokens | None = None,
) -> ThreadingHTTPServer:
    """Return a server that is bound and not yet serving.

    :param find: returns the facts of the instance with a private address, or None.
    :param wait_while_unavailable: returns once requests of an address may be answered.
    :param tokens: the tokens that it issues and accepts.
    """
    known = tokens or Tokens()

    class Handler(BaseHTTPRequestHandler):
        """One request; the names of its methods are those of http.server."""

        protocol_version = "HTTP/1.1"
        server_version = "EC2ws"
        sys_version = ""

        def do_PUT(self) -> None:
            """Issue a token."""
            length = int(self.headers.get("Content-Length") or 0)
            self.rfile.read(length)
            wait_while_unavailable(self.client_address[0])
            if self.path != "/latest/api/token":
                return self._send(404)
            if self.headers.get("X-Forwarded-For") or self._instance() is None:
                return self._send(403)
            seconds = self.headers.get(TTL_HEADER, "")
            if not seconds.isdigit() or not 1 <= int(seconds) <= LONGEST_TTL:
                return self._send(400)
            token = known.issue(self.client_address[0], int(seconds))
            return self._send(200, token, {TTL_HEADER: seconds})

        def do_GET(self) -> None:
            """Serve a path to a client with a valid token."""
            wait_while_unavailable(self.client_address[0])
            facts = self._instance()
            if facts is None:
                return self._send(403)
            if not known.valid(self.headers.get(TOKEN_HEADER), self.client_address[0]):
                return self._send(401)
            found = answer(facts, self.path.partition("?")[0], datetime.now(UTC))
            return self._send(404) if found is None else self._send(200, found)

        def _instance(self) -> InstanceFacts | None:
            facts = find(self.client_address[0])
            return facts if facts is not None and facts.enabled else None

        def _send(
            self, status: int, body: str | bytes = "", headers: Mapping[str, str] | None = None
        ) -> None:
            content = body.encode() if isinstance(body, str) else body
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing: the daemon's log is for errors."""

    made = ThreadingHTTPServer(bind, Handler)
    made.daemon_threads = True
    return made
