"""Plans a deployment: which stacks, in which order and with which parameters, or why none can be made.

A pure function of the wiring, the templates, the environment's variables and what AWS holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airkiln_deploy.stacks import OF_A_POOL, of_pool

Json = Any

DATABASE_STEP = "database-step"
"""The stack that is created for a migration and deleted after it, so that it never updates."""

ENVIRONMENT = re.compile(r"[a-z][a-z0-9]{1,14}")
POOL = re.compile(r"[a-z][a-z0-9]{0,15}")
RESERVED = ("all", "ungrouped", "localhost", "example")
"""Names that an environment cannot have, because they mean something else in an Ansible inventory."""

OWNED_BY_RELEASES = ("ImageId", "LaunchTemplateVersion")
"""Set when a stack is created and from then on by a release: a deployment passes the stack's own values."""

OURS = ("EnvironmentName", "PoolName", "Rebalance", "Spot", "S3PrefixListId", "Offload", *OWNED_BY_RELEASES)
"""Parameters that a deployment works out; the variables may not give them."""

NETWORK = ("VpcId", "VpcCidr", "PrivateSubnetIds", "DatabaseSubnetIds", "ZoneCount")
"""What airkiln_vpc has to give; PublicSubnetIds and AwsAccess are optional."""

REFUSED = {
    "UPDATE_ROLLBACK_FAILED": "Fix what its events name, then run "
    "`aws cloudformation continue-update-rollback --stack-name {name}`, and this playbook again.",
    "UPDATE_FAILED": "Run `aws cloudformation rollback-stack --stack-name {name}`, and this playbook again.",
    "ROLLBACK_FAILED": "Fix what its events name, delete the stack, and run this playbook again.",
    "CREATE_FAILED": "It was created without rollback: delete the stack, and run this playbook again.",
    "DELETE_FAILED": "Fix what its events name, delete the stack again, and run this playbook again.",
    "IMPORT_ROLLBACK_FAILED": "Fix what its events name, then run this playbook again.",
}
REMAINS = ("ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS")
"""A stack that was never created. CloudFormation accepts nothing for it but its deletion."""


def name_problem(name: Json) -> str:
    """Why an environment cannot have this name, or an empty string."""
    if not isinstance(name, str) or not ENVIRONMENT.fullmatch(name):
        return (
            f"environment_name is {str(name)!r} and must be 2 to 15 lower-case letters and digits, a letter "
            "first, such as prod: a hyphen would let one environment match another's names."
        )
    if name in RESERVED:
        return f"environment_name is {name!r}, which means something else in an inventory: choose another."
    return ""


def state(status: str) -> str:
    """What a stack's status means.

    One of absent, settled, moving (CloudFormation is at work), remains (never created) and refused (needs a
    person first).
    """
    if status in ("", "DELETE_COMPLETE"):
        return "absent"
    if status in REMAINS:
        return "remains"
    if status in REFUSED:
        return "refused"
    return "moving" if status.endswith("_IN_PROGRESS") else "settled"


def plan(
    wiring: list[Mapping[str, Json]], templates: Mapping[str, Json], environment: Mapping[str, Json]
) -> dict[str, Json]:
    """The stacks in order, and `problems`: sentences. With any of them, nothing may be changed.

    `begins` tells whether groups are to launch instances of the image of the variables: it has to exist then.
    """
    one = _Environment(templates, environment)
    stacks = [stack for wire in wiring for stack in one.stacks(wire)]
    named = {stack["name"] for stack in stacks}
    problems = one.problems(wiring)
    for stack in stacks:
        problems += stack.pop("problems")
    return {
        "stacks": stacks,
        "image": one.image,
        "begins": any("ImageId" in stack["given"] for stack in stacks if stack["kind"] != DATABASE_STEP)
        and one.image == environment["image_id"],
        "problems": problems,
        "unnamed": sorted(name for name in one.present if name not in named),
    }


class _Environment:
    """The variables of one environment beside what AWS holds of it."""

    def __init__(self, templates: Mapping[str, Json], given: Mapping[str, Json]) -> None:
        self.templates = templates
        self.name = given["name"]
        self.common = given["parameters"]
        self.of_stacks = given["stacks"]
        self.pools = given["pools"]
        self.vpc = given["vpc"]
        self.offload = bool(given["offload"])
        self.zones = given["zones"]
        self.prefix_list = given["s3_prefix_list"]
        self.present: Mapping[str, Json] = given["present"]
        self.image = self._present_image() or given["image_id"]
        if self.vpc:
            self.access = self.vpc.get("AwsAccess", "internet")
        else:
            nat = self._given("NatGateways", self.of_stacks.get("network", {}))
            self.access = "endpoints" if nat == "none" else "internet"

    def _present_image(self) -> str:
        """The image that runs. A pool that is added later starts with it, whatever the variables say."""
        names = ["webserver", "scheduler", *(of_pool("workers", pool) for pool in self.pools)]
        for name in names:
            stack = self.present.get(f"airkiln-{self.name}-{name}", {})
            if state(stack.get("status", "")) in ("settled", "moving") and "ImageId" in stack["parameters"]:
                return str(stack["parameters"]["ImageId"])
        return ""

    def _given(self, parameter: str, own: Mapping[str, Json]) -> Json:
        """The value that the variables give, or None. The stack's own one wins."""
        if parameter in own:
            return own[parameter]
        return self.common.get(parameter)

    def stacks(self, wire: Mapping[str, Json]) -> list[dict[str, Json]]:
        """The stacks of one template: none to many for pools, one for any other."""
        kind = wire["name"]
        if kind not in OF_A_POOL:
            return [self._stack(wire, kind, self.of_stacks.get(kind, {}))]
        return [self._stack_of_pool(wire, str(pool), own or {}) for pool, own in self.pools.items()]

    def _stack_of_pool(self, wire: Mapping[str, Json], pool: str, own: Mapping[str, Json]) -> dict[str, Json]:
        """A pool's stack. What the variables give for the pool are the parameters of its workers."""
        kind = wire["name"]
        known = {"PoolName": pool}
        if kind == "workers":
            made = self._stack(wire, of_pool(kind, pool), _of_the_stack(own), known | _of_the_pool(own))
        else:
            made = self._stack(wire, of_pool(kind, pool), {}, known)
        for source in made["inputs"].values():
            if source[0] in OF_A_POOL:
                source[0] = of_pool(source[0], pool)
        return made

    def _public(self) -> bool:
        return bool(self.common.get("PublicAccess", "none") != "none")

    def _wanted(self, kind: str) -> bool:
        optional = {
            "network": not self.vpc,
            "endpoints": self.access == "endpoints",
            "offload": self.offload,
            "queues": self.common.get("Broker", "sqs") == "sqs",
            "public": self._public(),
        }
        return bool(optional.get(kind, True))

    def _stack(
        self,
        wire: Mapping[str, Json],
        short: str,
        own: Mapping[str, Json],
        known: Mapping[str, Json] | None = None,
    ) -> dict[str, Json]:
        kind = wire["name"]
        name = f"airkiln-{self.name}-{short}"
        status = self.present.get(name, {}).get("status", "")
        exists = state(status) in ("settled", "moving") and kind != DATABASE_STEP
        values: dict[str, Json] = {"EnvironmentName": self.name, **(known or {})}
        previous = []
        problems = []
        forms = self.templates[kind]["parameters"]
        for parameter, form in forms.items():
            if parameter in values or parameter in wire["inputs"]:
                continue
            value = self._ours(parameter) if parameter in OURS else self._given(parameter, own)
            if value is None and parameter == "Zones":
                # Chosen once: another order of the zones would make other subnets.
                value = None if exists else self._zones(own)
                previous += ["Zones"] if exists else []
            if exists and parameter in OWNED_BY_RELEASES:
                previous.append(parameter)
            elif value is not None:
                values[parameter] = value
                problems += value_problems(f"{short}.{parameter}", form, value)
            elif "Default" not in form and parameter not in previous:
                own_variable = _own_variable(kind, short)
                of_all = f"airkiln_parameters, or for this stack alone in {own_variable}"
                variable = "airkiln_image_id" if parameter == "ImageId" else of_all
                problems.append(
                    f"{short}.{parameter} is missing ({form['Description']}) Give it in {variable}."
                )
        problems += [
            f"{_own_variable(kind, short)}.{parameter}: {_stray(kind, parameter, wire['inputs'], forms)}"
            for parameter in own
            if parameter in wire["inputs"] or parameter in OURS or parameter not in forms
        ]
        if not self._wanted(kind):
            problems = []
        elif state(status) == "refused" and kind != DATABASE_STEP:
            problems.append(f"The stack {name} is {status}. {REFUSED[status].format(name=name)}")
        return {
            "kind": kind,
            "short": short,
            "name": name,
            "wanted": self._wanted(kind),
            "status": status,
            "state": state(status),
            "given": values,
            "previous": previous,
            "inputs": {parameter: source.split(".") for parameter, source in wire["inputs"].items()},
            "problems": problems,
        }

    def _ours(self, parameter: str) -> Json:
        return {
            "ImageId": self.image or None,
            "LaunchTemplateVersion": 1,
            "S3PrefixListId": self.prefix_list if self.access == "endpoints" else None,
            "Offload": "yes" if self.offload else "no",
            "Spot": "yes" if any(self._uses_spot(own or {}) for own in self.pools.values()) else "no",
        }.get(parameter)

    def _uses_spot(self, own: Mapping[str, Json]) -> bool:
        return _text(self._given("OnDemandPercent", own)) not in ("None", "100")

    def _zones(self, own: Mapping[str, Json]) -> Json:
        count = int(self._given("ZoneCount", own) or 3)
        return self.zones[:count] if len(self.zones) >= count else None

    def problems(self, wiring: list[Mapping[str, Json]]) -> list[str]:
        """What is wrong apart from the parameters of single stacks."""
        found = []
        kinds = [wire["name"] for wire in wiring]
        for kind in self.of_stacks:
            if kind in OF_A_POOL:
                found.append(f"airkiln_stack_parameters.{kind}: what a pool takes stands in airkiln_pools.")
            elif kind not in kinds:
                found.append(
                    f"airkiln_stack_parameters.{kind}: there is no such stack; there are {', '.join(kinds)}."
                )
        every = {parameter for kind in kinds for parameter in self.templates[kind]["parameters"]}
        found += [
            f"airkiln_parameters.{parameter}: no stack takes it; look for a typing mistake."
            for parameter in self.common
            if parameter not in every or parameter in OURS
        ]
        if not self.pools:
            found.append("airkiln_pools is empty: at least one pool runs tasks, such as `default: {}`.")
        found += [
            f"airkiln_pools.{pool}: a pool's name is 1 to 16 lower-case letters and digits, a letter first."
            for pool in self.pools
            if not POOL.fullmatch(str(pool))
        ]
        return found + self._network_problems()

    def _network_problems(self) -> list[str]:
        if not self.vpc:
            return []
        network = f"airkiln-{self.name}-network"
        found = [
            f"airkiln_vpc.{key} is missing: a VPC that exists is given by {', '.join(NETWORK)}."
            for key in NETWORK
            if not self.vpc.get(key)
        ]
        if self._public() and not self.vpc.get("PublicSubnetIds"):
            found.append(
                "airkiln_vpc.PublicSubnetIds is missing: the public load balancer needs a subnet in each "
                "zone."
            )
        if self.present.get(network):
            found.append(
                f"airkiln_vpc is given and the stack {network} exists: an environment cannot move to "
                "another VPC. Remove airkiln_vpc, or deploy another environment."
            )
        return found


def _of_the_stack(own: Mapping[str, Json]) -> dict[str, Json]:
    """The parameters of a pool's stack. Keys that begin with a small letter are settings (pools.py)."""
    return {key: value for key, value in own.items() if not str(key)[:1].islower()}


def _of_the_pool(own: Mapping[str, Json]) -> dict[str, Json]:
    """Parameters of a pool's workers that follow its settings: the group does as its instances do."""
    return {"Rebalance": own["rebalance"]} if "rebalance" in own else {}


def _own_variable(kind: str, short: str) -> str:
    if kind in OF_A_POOL:
        return f"airkiln_pools.{short.removeprefix(of_pool(kind, ''))}"
    return f"airkiln_stack_parameters.{kind}"


def _stray(kind: str, parameter: str, inputs: Mapping[str, str], forms: Mapping[str, Json]) -> str:
    if parameter in inputs:
        return f"it is the output {inputs[parameter]}; leave it out."
    if parameter in OWNED_BY_RELEASES:
        return "a release sets it; a new environment begins with airkiln_image_id. Leave it out."
    if parameter in OURS:
        return "the deployment works it out; leave it out."
    return f"{kind}.yaml has no such parameter; it has {', '.join(forms)}."


def value_problems(what: str, form: Mapping[str, Json], value: Json) -> list[str]:
    """Why CloudFormation would not take this value, in the template's own words."""
    listed = str(form["Type"]).startswith("List<") or form["Type"] == "CommaDelimitedList"
    text = _text(value)
    parts = text.split(",") if listed else [text]
    needs = form.get("ConstraintDescription", f"is not a {form['Type']}")
    for part in parts:
        pattern = form.get("AllowedPattern")
        choices = [_text(choice) for choice in form.get("AllowedValues", [])]
        fits = (not choices or part in choices) and (pattern is None or re.search(pattern, part) is not None)
        if form["Type"] == "Number":
            number = float(part) if re.fullmatch(r"-?\d+(\.\d+)?", part) else None
            fits = (
                fits
                and number is not None
                and float(form.get("MinValue", number)) <= number <= float(form.get("MaxValue", number))
            )
        if form["Type"] == "AWS::EC2::Image::Id":
            fits = re.fullmatch(r"ami-[0-9a-f]{8,17}", part) is not None
            needs = "must be the id of an image, such as ami-0123456789abcdef0"
        if not fits:
            return [f"{what} is {part!r} and {needs.rstrip('.')}."]
    return []


def _text(value: Json) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(_text(each) for each in value)
    return str(value)


def parameters(
    stack: Mapping[str, Json], outputs: Mapping[str, Mapping[str, Json]], unknown: str = ""
) -> dict[str, Json]:
    """The parameters of a stack, with the `outputs` of earlier stacks filled in.

    An output that its stack does not have is left out, so that the parameter's default applies.

    :param unknown: text that marks outputs which are not known yet (check mode).
    """
    values = {name: _text(value) for name, value in stack["given"].items()}
    values |= {
        parameter: _text(outputs[source][output])
        for parameter, (source, output) in stack["inputs"].items()
        if output in outputs.get(source, {})
    }
    return {
        "given": values,
        "all": {**values, **{name: {"use_previous_value": True} for name in stack["previous"]}},
        "unknown": sorted(name for name, value in values.items() if unknown and unknown in value),
        "ignored": sorted(stack["previous"]),
    }
