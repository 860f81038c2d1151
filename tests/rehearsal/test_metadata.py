"""The metadata service answers an instance as EC2's version 2 does."""

from __future__ import annotations

import json

import pytest

from rehearsal.aws.client import client
from rehearsal.aws.instances import find_machine, launch_instance
from tests.rehearsal.conftest import Cloud, Instance
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.root
SERVICE = "http://169.254.169.254/latest"


def token(instance: Instance) -> str:
    return instance.root(f"curl -sf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' {SERVICE}/api/token")


def told(instance: Instance, path: str) -> str:
    return instance.root(f"curl -sf -H 'X-aws-ec2-metadata-token: {token(instance)}' {SERVICE}/{path}")


def status(instance: Instance, request: str) -> str:
    return instance.root(f"curl -s -o /dev/null -w '%{{http_code}}' {request}")


def test_without_a_token_it_says_401(instance: Instance) -> None:
    assert status(instance, f"{SERVICE}/meta-data/instance-id") == "401"


def test_a_token_needs_a_time_to_live(instance: Instance) -> None:
    assert status(instance, f"-X PUT {SERVICE}/api/token") == "400"


def test_a_token_of_another_instance_is_refused(instance: Instance, cloud: Cloud) -> None:
    other = cloud.launch().boot()
    header = f"-H 'X-aws-ec2-metadata-token: {token(other)}'"
    assert status(instance, f"{header} {SERVICE}/meta-data/instance-id") == "401"


def test_an_instance_learns_who_it_is(instance: Instance) -> None:
    assert told(instance, "meta-data/instance-id") == instance.name
    assert told(instance, "meta-data/local-ipv4") == str(instance.address)
    assert told(instance, "meta-data/placement/region") == "us-east-1"
    assert json.loads(told(instance, "dynamic/instance-identity/document"))["instanceId"] == instance.name


def test_both_its_tags_can_be_read(instance: Instance) -> None:
    assert told(instance, "meta-data/tags/instance").split() == ["airkiln:role", "airkiln:environment"]
    assert told(instance, "meta-data/tags/instance/airkiln:role") == "worker"
    assert told(instance, "meta-data/tags/instance/airkiln:environment") == "tests"


def test_a_launch_without_tags_in_metadata_hides_them(cloud: Cloud) -> None:
    with cloud.inside():
        ec2 = cloud.ec2()
        tags = [{"ResourceType": "instance", "Tags": [{"Key": "airkiln:role", "Value": "worker"}]}]
        image = [found["ImageId"] for found in ec2.describe_images(Owners=["136693071363"])["Images"]]
        made = ec2.run_instances(ImageId=image[0], MinCount=1, MaxCount=1, TagSpecifications=tags)
        shown = made["Instances"][0]
    hidden = Instance(cloud, shown["InstanceId"], shown["PrivateIpAddress"]).boot()
    header = f"-H 'X-aws-ec2-metadata-token: {token(hidden)}'"
    assert status(hidden, f"{header} {SERVICE}/meta-data/tags/instance") == "404"


def test_a_role_gives_credentials_that_expire(cloud: Cloud) -> None:

    with cloud.inside():
        iam = client("iam")
        iam.create_role(RoleName="reader", AssumeRolePolicyDocument="{}")
        iam.create_instance_profile(InstanceProfileName="reader")
        iam.add_role_to_instance_profile(InstanceProfileName="reader", RoleName="reader")
    name, _ = launch_instance(cloud.region, "debian", {}, profile="reader")
    found = find_machine(cloud.region, name)
    found.wait_until_booted(PATIENCE)
    with_role = Instance(cloud, name, found.address)
    assert told(with_role, "meta-data/iam/security-credentials/") == "reader"
    given = json.loads(told(with_role, "meta-data/iam/security-credentials/reader"))
    assert given["Code"] == "Success"
    assert given["Expiration"] > given["LastUpdated"]
