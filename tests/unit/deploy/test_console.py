"""What is read from the console of an instance that failed to boot."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from airkiln_deploy import console
from airkiln_deploy.errors import DeployError


def test_the_console_gives_our_own_last_lines_each_once() -> None:
    text = (
        "[    1.0] Linux version 6.12\n"
        "[   12.3] airkiln[412]: airkiln-database.service has failed (exit-code); its last lines:\n"
        "[   12.3] airkiln[412]: airkiln-database.service has failed (exit-code); its last lines:\n"
        "[   12.4] airkiln[412]: airkiln-database.service: FATAL: no such role\n"
        "ip-10-0-0-1 login:"
    )
    assert console.own_lines(text, 20) == [
        "airkiln-database.service has failed (exit-code); its last lines:",
        "airkiln-database.service: FATAL: no such role",
    ]


class Ec2:
    """Two instances, one of which has written nothing yet."""

    def __init__(self) -> None:
        self.filters: list[dict[str, Any]] = []
        self.refusal = ""

    def describe_instances(self, Filters: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - boto's
        self.filters = Filters
        return {"Reservations": [{"Instances": [{"InstanceId": "i-1"}, {"InstanceId": "i-2"}]}]}

    def get_console_output(self, InstanceId: str, Latest: bool = False) -> dict[str, str]:  # noqa: N803 - boto's
        if Latest and self.refusal:
            raise ClientError({"Error": {"Code": self.refusal}}, "GetConsoleOutput")
        if InstanceId != "i-1" or not (Latest or self.refusal):
            return {}  # without Latest: what EC2 kept minutes ago, before the instance wrote anything
        return {"Output": "[ 1.0] airkiln[4]: one\n[ 1.1] airkiln[4]: two"}


def test_the_lines_of_every_matching_instance_are_read_after_its_id() -> None:
    ec2 = Ec2()
    assert console.read(ec2, {"airkiln:role": "database"}, 1) == ["i-1: two"]
    assert ec2.filters[0] == {"Name": "tag:airkiln:role", "Values": ["database"]}


def test_a_type_without_a_serial_console_gives_what_ec2_kept() -> None:
    ec2 = Ec2()
    ec2.refusal = "UnsupportedOperation"
    assert console.read(ec2, {}, 1) == ["i-1: two"]
    ec2.refusal = "InternalError"
    with pytest.raises(DeployError):
        console.read(ec2, {}, 1)


def test_a_console_that_may_not_be_read_says_where_else_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": "UnauthorizedOperation"}}, "DescribeInstances")

    ec2 = Ec2()
    monkeypatch.setattr(ec2, "describe_instances", refuse)
    with pytest.raises(DeployError, match="Read it in the EC2 console"):
        console.read(ec2, {}, 20)
