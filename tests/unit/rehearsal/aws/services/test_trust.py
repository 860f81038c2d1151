"""Who may assume a role: the pure decision, and who asks by the access key of a call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from rehearsal.aws.account import ACCOUNT, instance_access_key
from rehearsal.aws.services.patches import PATCHES
from rehearsal.aws.services.sts.trust import Caller, may_assume
from tests.unit.rehearsal.aws.emulated_aws import drop_backends

ROLE = f"arn:aws:iam::{ACCOUNT}:role"
ACCOUNT_ITSELF = f"arn:aws:iam::{ACCOUNT}:root"
TASKS, INSTANCE, OTHER = f"{ROLE}/tasks", f"{ROLE}/instance", f"{ROLE}/other"
ADMINISTRATOR = Caller("administrator", None)


def trust(principal: Any, effect: str = "Allow", **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """One statement of a trust policy."""
    return {"Effect": effect, "Principal": principal, "Action": "sts:AssumeRole", **more}


def document(*statements: dict[str, Any]) -> dict[str, Any]:
    """A policy."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allowing(resource: str, effect: str = "Allow") -> dict[str, Any]:
    """An identity-based policy about assuming a role."""
    return document({"Effect": effect, "Action": "sts:AssumeRole", "Resource": resource})


OWN = trust({"AWS": INSTANCE})
WHOLE = trust({"AWS": ACCOUNT_ITSELF})


@pytest.mark.parametrize(
    ("caller", "statements", "admitted"),
    [
        (Caller("i", INSTANCE), [OWN], True),
        (Caller("i", OTHER), [OWN], False),
        (Caller("i", OTHER, (allowing("*"),)), [OWN], False),
        (ADMINISTRATOR, [OWN], False),
        (Caller("i", INSTANCE), [trust({"Service": "ec2.amazonaws.com"})], False),
        (Caller("i", INSTANCE), [WHOLE], False),
        (Caller("i", INSTANCE, (allowing(TASKS),)), [WHOLE], True),
        (Caller("i", INSTANCE, (allowing(OTHER),)), [WHOLE], False),
        (ADMINISTRATOR, [WHOLE], True),
        (Caller("i", INSTANCE), [OWN, trust({"AWS": INSTANCE}, "Deny")], False),
        (Caller("i", INSTANCE), [OWN, trust("*", "Deny")], False),
        (Caller("i", INSTANCE, (allowing("*", "Deny"),)), [OWN], False),
        (Caller("i", INSTANCE), [trust({"AWS": INSTANCE}, Condition={"Bool": {}})], False),
        (Caller("i", INSTANCE), [trust({"AWS": INSTANCE}) | {"Action": "sts:TagSession"}], False),
        (Caller("i", INSTANCE), [trust({"AWS": [OTHER, INSTANCE]})], True),
    ],
)  # fmt: skip
def test_the_trust_decides_and_the_account_needs_a_policy_beside_it(
    caller: Caller, statements: list[dict[str, Any]], admitted: bool
) -> None:
    assert may_assume(caller, TASKS, document(*statements), ACCOUNT) is admitted


@cache
def client(service: str, access_key: str = "rehearsal") -> Any:  # noqa: ANN401 - made at run time
    """A client with an access key. Making one takes longer than a test."""
    return botocore.session.get_session().create_client(
        service, region_name="us-east-1", aws_access_key_id=access_key, aws_secret_access_key="rehearsal"
    )


@pytest.fixture(scope="module")
def keys() -> Iterator[dict[str, str]]:
    """moto with the patches, and four roles: `tasks` trusts `instance`, and `whole` trusts the account.

    The access keys in the metadata of two instances, which have the roles `instance` and `other`.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("AWS_ENDPOINT_URL", raising=False)
        PATCHES.install()
        try:
            with mock_aws():
                drop_backends()
                service = trust({"Service": "ec2.amazonaws.com"})
                roles = {"instance": service, "other": service, "tasks": OWN, "whole": WHOLE}
                for name, statement in roles.items():
                    client("iam").create_role(
                        RoleName=name, AssumeRolePolicyDocument=json.dumps(document(statement))
                    )
                yield {name: launched(name) for name in ("instance", "other")}
        finally:
            PATCHES.uninstall()


def launched(profile: str) -> str:
    """The access key in the metadata of an instance with a role."""
    client("iam").create_instance_profile(InstanceProfileName=profile)
    client("iam").add_role_to_instance_profile(InstanceProfileName=profile, RoleName=profile)
    (made,) = client("ec2").run_instances(
        ImageId="ami-12c6146b", MinCount=1, MaxCount=1, IamInstanceProfile={"Name": profile}
    )["Instances"]
    return instance_access_key(made["InstanceId"])


def assume(access_key: str, role: str = "tasks", **more: Any) -> str:  # noqa: ANN401
    """Assume a role with an access key: the new access key, or AWS's error code."""
    try:
        answer = client("sts", access_key).assume_role(
            RoleArn=f"{ROLE}/{role}", RoleSessionName="session", **more
        )
    except ClientError as refused:
        return str(refused.response["Error"]["Code"])
    return str(answer["Credentials"]["AccessKeyId"])


class TestWhoAsks:
    """The access key of a call says whose it is."""

    def test_an_instance_assumes_the_role_that_trusts_its_own(self, keys: dict[str, str]) -> None:
        assert assume(keys["instance"]).startswith("ASIA")

    def test_an_instance_with_another_role_is_refused(self, keys: dict[str, str]) -> None:
        assert assume(keys["other"]) == "AccessDenied"

    def test_the_role_of_tasks_leads_to_no_other_and_not_to_itself(self, keys: dict[str, str]) -> None:
        tasks = assume(keys["instance"])
        assert {role: assume(tasks, role) for role in ("tasks", "instance", "other")} == dict.fromkeys(
            ("tasks", "instance", "other"), "AccessDenied"
        )

    def test_a_key_that_is_nobodys_is_refused(self, keys: dict[str, str]) -> None:
        assert assume("ASIAAAAAAAAAAAAAAAAA") == "InvalidClientTokenId"

    def test_where_the_account_is_trusted_a_policy_of_the_role_admits_it(self, keys: dict[str, str]) -> None:
        assert assume(keys["instance"], "whole") == "AccessDenied"
        text = json.dumps(allowing(f"{ROLE}/whole"))
        client("iam").put_role_policy(RoleName="instance", PolicyName="own", PolicyDocument=text)
        assert assume(keys["instance"], "whole").startswith("ASIA")
        made = client("iam").create_policy(PolicyName="managed", PolicyDocument=text)["Policy"]["Arn"]
        assert assume(keys["other"], "whole") == "AccessDenied"
        client("iam").attach_role_policy(RoleName="other", PolicyArn=made)
        assert assume(keys["other"], "whole").startswith("ASIA")

    def test_an_administrator_is_not_among_those_that_a_role_names(self, keys: dict[str, str]) -> None:
        assert assume("rehearsal") == "AccessDenied"

    def test_a_chained_role_lasts_an_hour_at_most(self, keys: dict[str, str]) -> None:
        key = keys["instance"]
        assert assume(key, DurationSeconds=3601) == "ValidationError"
        assert assume(key, DurationSeconds=3600).startswith("ASIA")
