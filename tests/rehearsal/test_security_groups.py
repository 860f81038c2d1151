"""Security groups are enforced between machines, as EC2 documents it; and a zone can be cut off."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

import pytest

from rehearsal.aws.client import client
from rehearsal.aws.instances import launch_instance
from rehearsal.chaos.faults import zones
from tests.rehearsal.conftest import Cloud, Instance
from tests.support.waiting import until

pytestmark = pytest.mark.root

DATABASE, GATE = 5432, 8080
ANSWERS = f"""
import socketserver, threading
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
servers = [Server(("", port), Echo) for port in ({DATABASE}, {GATE})]
for server in servers[1:]:
    threading.Thread(target=server.serve_forever).start()
servers[0].serve_forever()
"""
ASKS = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as connection:
    answers = connection.makefile()
    for line in sys.stdin:
        connection.sendall(line.encode())
        print(answers.readline(), end="", flush=True)
"""
SECONDS = 2
"""For which an instance waits for an answer. None comes later: nothing on the way is slower than a boot."""


@dataclass
class Pair:
    """A server and a client, in groups and zones of their own."""

    cloud: Cloud
    server: Instance
    client: Instance
    groups: dict[str, str]
    """Ids by what the groups are for."""

    def ec2(self, operation: str, **given: Any) -> Any:  # noqa: ANN401 - boto3
        with self.cloud.inside():
            return getattr(client("ec2"), operation)(**given)

    def of_client(self, *names: str) -> None:
        """Give the client these groups."""
        groups = [self.groups[name] for name in names]
        self.ec2("modify_instance_attribute", InstanceId=self.client.name, Groups=groups)

    def answer(self, port: int) -> str:
        """What the client gets when it connects: ``answer``, ``refused``, or ``nothing``."""
        script = (
            "import socket, sys\n"
            "try:\n"
            f"    connection = socket.create_connection(('{self.server.address}', {port}), {SECONDS})\n"
            "    connection.sendall(b'x\\n'); print('answer' if connection.recv(2) else 'closed')\n"
            "except TimeoutError: print('nothing')\n"
            "except ConnectionRefusedError: print('refused')\n"
        )
        return self.client.machine.execute(["python3", "-c", script]).stdout.strip()

    @contextmanager
    def connection(self, port: int) -> Iterator[subprocess.Popen[str]]:
        """A connection of the client that echoes the lines that are written to it."""
        command = self.client.machine.inside("python3", "-c", ASKS, str(self.server.address), str(port))
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        ) as process:
            try:
                yield process
            finally:
                process.kill()


def echo(connection: subprocess.Popen[str], line: str) -> str:
    assert connection.stdin is not None
    assert connection.stdout is not None
    connection.stdin.write(line + "\n")
    return connection.stdout.readline().strip()


@pytest.fixture(scope="module")
def pair(cloud: Cloud) -> Pair:
    with cloud.inside():
        ec2 = client("ec2")
        groups = {
            name: str(ec2.create_security_group(GroupName=name, Description=name)["GroupId"])
            for name in ("database", "worker", "stranger", "silent")
        }
        database = {"IpProtocol": "tcp", "FromPort": DATABASE, "ToPort": DATABASE}
        ec2.authorize_security_group_ingress(
            GroupId=groups["database"],
            IpPermissions=[database | {"UserIdGroupPairs": [{"GroupId": groups["worker"]}]}],
        )
        everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        ec2.revoke_security_group_egress(GroupId=groups["silent"], IpPermissions=[everything])
    server, asking = (
        Instance(cloud, name, IPv4Address(address))
        for name, address in (
            launch_instance(
                cloud.region, "debian", {}, security_groups=[groups[group]], zone=f"us-east-1{zone}"
            )
            for group, zone in (("database", "a"), ("worker", "b"))
        )
    )
    made = Pair(cloud, server.boot(), asking.boot(), groups)
    server.machine.execute(["tee", "/run/answers.py"], text=ANSWERS)
    server.root("systemd-run --quiet python3 /run/answers.py")
    until(lambda: f":{GATE}" in server.root("ss -Hltn"), "the server listens")
    return made


@pytest.fixture(autouse=True)
def a_worker(pair: Pair) -> None:
    """The client is in the group that the database admits."""
    pair.of_client("worker")


def test_a_port_that_a_source_group_may_reach_answers_and_another_stays_silent(pair: Pair) -> None:
    assert pair.answer(DATABASE) == "answer"
    assert pair.answer(GATE) == "nothing"


def test_an_instance_of_another_environment_reaches_neither_database_nor_gate(pair: Pair) -> None:
    pair.of_client("stranger")
    assert [pair.answer(port) for port in (DATABASE, GATE)] == ["nothing", "nothing"]


def test_a_connection_outlasts_its_rule_and_a_new_one_is_dropped(pair: Pair) -> None:
    database = {"IpProtocol": "tcp", "FromPort": DATABASE, "ToPort": DATABASE}
    rule = database | {"UserIdGroupPairs": [{"GroupId": pair.groups["worker"]}]}
    given = {"GroupId": pair.groups["database"], "IpPermissions": [rule]}
    with pair.connection(DATABASE) as connection:
        assert echo(connection, "before") == "before"
        pair.ec2("revoke_security_group_ingress", **given)
        try:
            assert pair.answer(DATABASE) == "nothing"
            assert echo(connection, "after") == "after"
        finally:
            pair.ec2("authorize_security_group_ingress", **given)
    assert pair.answer(DATABASE) == "answer"


def test_what_may_not_leave_does_not_and_the_services_of_the_own_host_are_reached(pair: Pair) -> None:
    pair.of_client("silent", "worker")
    assert pair.answer(DATABASE) == "answer"
    pair.of_client("silent")
    assert pair.answer(DATABASE) == "nothing"
    token = "curl -s -o /dev/null -w '%{http_code}' http://169.254.169.254/latest/meta-data/"
    assert pair.client.root(token) == "401"
    assert pair.client.root("getent hosts deb.debian.org") != ""


def test_a_zone_that_is_cut_off_loses_its_connections_until_it_is_back(pair: Pair) -> None:
    with pair.cloud.inside():
        with zones.cut_off(pair.cloud.region, "us-east-1b"):
            assert pair.answer(DATABASE) == "nothing"
            assert "401" in pair.client.root(
                "curl -s -o /dev/null -w '%{http_code}' http://169.254.169.254/latest/meta-data/"
            )
        assert pair.answer(DATABASE) == "answer"
