"""Launches and finds EC2 instances of the emulated AWS."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any, TypedDict, Unpack

from rehearsal.aws.account import DEBIAN_OWNER
from rehearsal.aws.client import Client, client
from rehearsal.errors import RehearsalError
from rehearsal.linux.machine import Machine, machines
from rehearsal.linux.network import Network
from rehearsal.region import Region


class LaunchOptions(TypedDict, total=False):
    """Options of a launch."""

    public_key: Path | None
    """File of an OpenSSH public key, imported as a key pair: it may log in as ``admin``."""
    user_data: str | None
    profile: str | None
    """Name of an instance profile."""
    instance_type: str
    zone: str | None
    """Name of an availability zone; by default the region's first."""
    security_groups: list[str]
    """Ids of security groups; by default the VPC's default group."""


def launch_instance(
    region: Region, image: str, tags: dict[str, str], **options: Unpack[LaunchOptions]
) -> tuple[str, str]:
    """Launch an instance and return its id and private address once EC2 reports it as running.

    systemd may still be booting then. The instance can read its tags in its metadata.

    :param image: id of an image, or a name as for ``find_image``.
    :raises RehearsalError: there is no such image, or the instance did not start.
    """
    with Network(region).visit():
        return _launch(region, image, tags, options)


def _launch(region: Region, image: str, tags: dict[str, str], options: LaunchOptions) -> tuple[str, str]:
    ec2 = client("ec2")
    request: dict[str, Any] = {
        "ImageId": image if image.startswith("ami-") else find_image(ec2, image),
        "InstanceType": options.get("instance_type", "t3.medium"),
        "MinCount": 1,
        "MaxCount": 1,
        "MetadataOptions": {"HttpTokens": "required", "InstanceMetadataTags": "enabled"},
    }
    if tags:
        listed = [{"Key": name, "Value": value} for name, value in tags.items()]
        request["TagSpecifications"] = [{"ResourceType": "instance", "Tags": listed}]
    if public_key := options.get("public_key"):
        request["KeyName"] = _import_key(ec2, public_key)
    if profile := options.get("profile"):
        request["IamInstanceProfile"] = {"Name": profile}
    if user_data := options.get("user_data"):
        request["UserData"] = user_data
    if zone := options.get("zone"):
        request["Placement"] = {"AvailabilityZone": zone}
    if security_groups := options.get("security_groups"):
        request["SecurityGroupIds"] = security_groups
    instance = ec2.run_instances(**request)["Instances"][0]
    name = str(instance["InstanceId"])
    deadline = time.monotonic() + 60
    while (state := _state(ec2, name)) == "pending" and time.monotonic() < deadline:
        time.sleep(0.1)
    if state != "running":
        raise RehearsalError(f"Instance {name} is {state}, not running; see {region.logs / 'aws.log'}.")
    return name, str(instance["PrivateIpAddress"])


def list_instances(*states: str) -> list[dict[str, Any]]:
    """Return the descriptions of instances in these states, each with its tags as a dictionary ``tags``."""
    wanted = [{"Name": "instance-state-name", "Values": list(states)}]
    described = client("ec2").describe_instances(Filters=wanted)["Reservations"]
    return [
        each | {"tags": {tag["Key"]: tag["Value"] for tag in each.get("Tags", [])}}
        for reservation in described
        for each in reservation["Instances"]
    ]


def find_image(ec2: Client, name: str) -> str:
    """Return the id of the newest image of this account with a name.

    :param name: ``*`` matches anything; ``debian`` is Debian's image.
    :raises RehearsalError: there is none.
    """
    pattern, owner = ("debian-13-*", DEBIAN_OWNER) if name == "debian" else (name, "self")
    found = ec2.describe_images(Owners=[owner], Filters=[{"Name": "name", "Values": [pattern]}])["Images"]
    if not found:
        raise RehearsalError(f"There is no image {name!r}; `python -m rehearsal status` lists them.")
    return str(max(found, key=lambda image: str(image["CreationDate"]))["ImageId"])


def find_machine(region: Region, name: str) -> Machine:
    """Return the machine with this name, or the only one whose name ends with it.

    :raises RehearsalError: there is none, or more than one.
    """
    found = [machine for machine in machines(region) if machine.name == name or machine.name.endswith(name)]
    if len(found) != 1:
        known = ", ".join(machine.name for machine in machines(region)) or "none"
        raise RehearsalError(f"{name!r} names {len(found)} machines; there are: {known}.")
    return found[0]


def _import_key(ec2: Client, public_key: Path) -> str:
    """Return the name of the key pair of a public key; import it the first time."""
    material = public_key.read_bytes()
    name = f"rehearsal-{hashlib.sha256(material).hexdigest()[:12]}"
    if not ec2.describe_key_pairs(Filters=[{"Name": "key-name", "Values": [name]}])["KeyPairs"]:
        ec2.import_key_pair(KeyName=name, PublicKeyMaterial=material)
    return name


def _state(ec2: Client, instance: str) -> str:
    described = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    return str(described["State"]["Name"])
