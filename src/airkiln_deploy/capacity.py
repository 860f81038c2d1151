"""What a region lacks for a new environment: quotas, instance types in its zones, credentials that last.

Quotas and their codes: https://docs.aws.amazon.com/servicequotas/, service `ec2`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from airkiln_deploy.errors import DeployError

ADDRESSES = "L-0263D0A3"
"""EC2-VPC Elastic IPs; 5 unless it was raised."""
VCPUS = "L-1216C47A"
"""Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances, in vCPUs."""
STANDARD = frozenset({"a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"})
"""What the families begin with that count towards it, such as m of m7i."""
EXPIRATION = "AWS_CREDENTIAL_EXPIRATION"
"""The variable that `aws configure export-credentials --format env` sets beside temporary credentials."""
BEGINNING, CHANGING = 60.0, 15.0
"""Minutes that a deployment may take: with stacks to create (a database alone takes 20), and without."""

Json = Any


@dataclass(frozen=True)
class Wanted:
    """The instances of one stack: their types in order of preference, and how many there are at first and at
    most that are On-Demand Instances."""

    stack: str
    types: tuple[str, ...]
    new: bool
    first: int
    most: int


def wanted(stacks: Iterable[Mapping[str, Json]], templates: Mapping[str, Json]) -> list[Wanted]:
    """The instances of a plan's stacks.

    :param stacks: of `plan.plan`.
    :param templates: of `template.templates`.
    """
    found = []
    for stack in stacks:
        forms = templates[stack["kind"]]["parameters"]
        value = _Values(stack["given"], forms)
        names = ("InstanceType", "SecondInstanceType", "ThirdInstanceType")
        types = tuple(str(value(name)) for name in names if value(name))
        if not stack["wanted"] or not types:
            continue
        first = int(value("MinSize") or value("HostCount") or ("MinSize" not in forms))
        most = max(first, int(value("MaxSize") or 0))
        found.append(
            Wanted(stack["short"], types, _new(stack), value.on_demand(first), value.on_demand(most))
        )
    return found


def _new(stack: Mapping[str, Json]) -> bool:
    return stack["state"] in ("absent", "remains")


class _Values:
    """A stack's values, or their defaults."""

    def __init__(self, given: Mapping[str, Json], forms: Mapping[str, Json]) -> None:
        self._given, self._forms = given, forms

    def __call__(self, name: str) -> Json:
        return self._given.get(name, self._forms.get(name, {}).get("Default"))

    def on_demand(self, count: int) -> int:
        base = int(self("OnDemandBase") or 0)
        percent = self("OnDemandPercent")
        share = 100 if percent is None else int(percent)
        return min(count, base + math.ceil(max(0, count - base) * share / 100))


def addresses(stacks: Iterable[Mapping[str, Json]], templates: Mapping[str, Json]) -> int:
    """Elastic IP addresses that the plan takes: one for each NAT gateway of a new network."""
    for stack in stacks:
        if stack["kind"] == "network" and stack["wanted"] and _new(stack):
            value = _Values(stack["given"], templates["network"]["parameters"])
            return {"none": 0, "one": 1}.get(str(value("NatGateways")), int(value("ZoneCount") or 0))
    return 0


class Region:
    """What is asked of a region.

    :param client: makes the client of a service by its name, such as "ec2".
    """

    def __init__(self, client: Callable[[str], Any]) -> None:
        self._ec2, self._quotas = client("ec2"), client("service-quotas")

    def quota(self, code: str) -> int | None:
        """The account's value; None where the caller may not read it."""
        try:
            found = self._quotas.get_service_quota(ServiceCode="ec2", QuotaCode=code)
        except ClientError as error:
            if "AccessDenied" in str(error.response["Error"]["Code"]):
                return None
            raise
        return int(found["Quota"]["Value"])

    def addresses(self) -> int:
        """Elastic IP addresses that the account has."""
        return len(self._ec2.describe_addresses()["Addresses"])

    def vcpus(self) -> int:
        """vCPUs of running On-Demand Standard instances."""
        pages = self._ec2.get_paginator("describe_instances").paginate(
            Filters=[{"Name": "instance-state-name", "Values": ["pending", "running"]}]
        )
        running = [
            each["InstanceType"]
            for page in pages
            for reservation in page["Reservations"]
            for each in reservation["Instances"]
            if each.get("InstanceLifecycle") != "spot" and _standard(each["InstanceType"])
        ]
        sizes = self.sizes(set(running))
        return sum(sizes.get(each, 0) for each in running)

    def sizes(self, types: Iterable[str]) -> dict[str, int]:
        """The vCPUs of instance types; what the region does not know is left out."""
        names = sorted(set(types))
        if not names:
            return {}
        # A filter, and not the list of names: of one that is unknown, EC2 makes an error for all.
        pages = self._ec2.get_paginator("describe_instance_types").paginate(
            Filters=[{"Name": "instance-type", "Values": names}]
        )
        return {
            each["InstanceType"]: each["VCpuInfo"]["DefaultVCpus"]
            for page in pages
            for each in page["InstanceTypes"]
        }

    def offered(self, types: Iterable[str]) -> dict[str, set[str]]:
        """The zones in which each instance type is offered."""
        found: dict[str, set[str]] = {each: set() for each in types}
        pages = self._ec2.get_paginator("describe_instance_type_offerings").paginate(
            LocationType="availability-zone",
            Filters=[{"Name": "instance-type", "Values": sorted(found)}],
        )
        for page in pages:
            for each in page["InstanceTypeOfferings"]:
                found[each["InstanceType"]].add(each["Location"])
        return found

    def zones(self, subnets: Iterable[str]) -> list[str]:
        """The zones of subnets."""
        found = self._ec2.describe_subnets(SubnetIds=list(subnets))["Subnets"]
        return sorted({each["AvailabilityZone"] for each in found})


def _standard(instance_type: str) -> bool:
    family = re.match(r"[a-z]+", instance_type)
    return family is not None and family[0] in STANDARD


@dataclass(frozen=True)
class Planned:
    """What is to be deployed: stacks (of `plan.plan`), templates (of `template.templates`), and the private
    subnets where they exist; otherwise the zones of the new network count."""

    stacks: list[Mapping[str, Json]]
    templates: Mapping[str, Json]
    subnets: list[str]


def check(
    client: Callable[[str], Any], planned: Planned, environment: Mapping[str, str], now: datetime
) -> dict[str, list[str]]:
    """`problems`, with which nothing is to be begun, and `warnings`: sentences.

    Raises DeployError when AWS refuses or does not answer.

    :param client: makes the client of a service by its name, such as "ec2".
    :param environment: the caller's environment variables.
    """
    stacks = planned.stacks
    instances = wanted(stacks, planned.templates)
    begins = any(stack["wanted"] and _new(stack) for stack in stacks if stack["kind"] != "database-step")
    problems = expiring(environment, BEGINNING if begins else CHANGING, now)
    warnings: list[str] = []
    region = Region(client)
    try:
        zones = region.zones(planned.subnets) if planned.subnets else _zones(stacks)
        for sentence, new in missing(instances, region.offered(_types(instances)), zones):
            (problems if new else warnings).append(sentence)
        for few, too_few in (
            _few_addresses(region, addresses(stacks, planned.templates)),
            _few_vcpus(region, instances),
        ):
            warnings += few
            problems += too_few
    except ClientError as error:
        raise DeployError(
            f"AWS refused {error.operation_name}: {error.response['Error'].get('Message', error)}"
        ) from error
    except BotoCoreError as error:
        raise DeployError(f"AWS cannot be reached: {error}") from error
    return {"problems": problems, "warnings": warnings}


def _types(instances: Iterable[Wanted]) -> set[str]:
    return {each for one in instances for each in one.types}


def _zones(stacks: Iterable[Mapping[str, Json]]) -> list[str]:
    given = next((stack["given"].get("Zones") for stack in stacks if stack["kind"] == "network"), None)
    return given.split(",") if isinstance(given, str) else list(given or ())


def missing(
    instances: Iterable[Wanted], offered: Mapping[str, set[str]], zones: Iterable[str]
) -> Iterable[tuple[str, bool]]:
    """A sentence for each stack none of whose types is offered in one of the zones, and whether it is new."""
    for one in instances:
        somewhere = set().union(*(offered[each] for each in one.types))
        lacking = [zone for zone in zones if zone not in somewhere]
        if lacking:
            yield (
                f"{one.stack}: {' and '.join(one.types)} not offered in {', '.join(lacking)}: choose another "
                "InstanceType (and SecondInstanceType), or other Zones for a new network.",
                one.new,
            )


def _few_addresses(region: Region, needed: int) -> tuple[list[str], list[str]]:
    if not needed:
        return [], []
    quota = region.quota(ADDRESSES)
    if quota is None:
        return [_unread(ADDRESSES)], []
    used = region.addresses()
    if used + needed <= quota:
        return [], []
    return [], [
        f"Elastic IP addresses: the account has {used} of {quota} in this region, and the NAT gateways need "
        f"{needed} more: release some, set NatGateways to one or none, or {_raise(ADDRESSES, used + needed)}"
    ]


def _few_vcpus(region: Region, instances: Iterable[Wanted]) -> tuple[list[str], list[str]]:
    new = [one for one in instances if one.new and _standard(one.types[0])]
    if not new:
        return [], []
    quota = region.quota(VCPUS)
    if quota is None:
        return [_unread(VCPUS)], []
    sizes, used = region.sizes(_types(new)), region.vcpus()
    first = used + sum(one.first * sizes.get(one.types[0], 0) for one in new)
    most = used + sum(one.most * sizes.get(one.types[0], 0) for one in new)
    if most <= quota:
        return [], []
    text = f"vCPUs of On-Demand Standard instances: the account runs {used} of {quota} in this region"
    if first > quota:
        return [], [f"{text}, and with the new groups' first instances {first}: {_raise(VCPUS, most)}"]
    return [f"{text}, and with the new groups at their MaxSize {most}: {_raise(VCPUS, most)}"], []


def _raise(code: str, value: int) -> str:
    return (
        "have the quota raised: aws service-quotas request-service-quota-increase --service-code ec2 "
        f"--quota-code {code} --desired-value {value}"
    )


def _unread(code: str) -> str:
    return f"The quota {code} of EC2 is not checked: allow servicequotas:GetServiceQuota to the caller."


def expiring(environment: Mapping[str, str], minutes: float, now: datetime) -> list[str]:
    """A sentence where temporary credentials in the environment end before a deployment does.

    Those of a profile are renewed by the SDK, or say nothing of their end.
    """
    text = environment.get(EXPIRATION, "")
    if not text or not environment.get("AWS_SESSION_TOKEN"):
        return []
    try:
        end = datetime.fromisoformat(text)
    except ValueError:
        return []
    left = (end.replace(tzinfo=end.tzinfo or UTC) - now).total_seconds() / 60
    if left >= minutes:
        return []
    return [
        f"The AWS credentials end in {max(0, math.floor(left))} minutes ({EXPIRATION}), and a deployment may "
        f"take {minutes:g}: get new ones first, or use a profile that renews them (AWS_PROFILE)."
    ]
