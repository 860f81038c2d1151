"""Starts a rehearsal's network and local AWS, runs commands in it, and takes everything away again.

``down`` needs no record of what was started: it ends what sits in the rehearsal's control group, removes its
network namespaces and deletes its machines. So it also works after a crash, after half a start, and twice.
Images, built roots and logs stay below ``build/`` for the next time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypedDict, Unpack

import botocore.session
from botocore.config import Config

from rehearsal.aws.server import READY
from rehearsal.linux.machine import Machine, machines
from rehearsal.linux.network import Network
from rehearsal.linux.processes import ControlGroup, Process
from rehearsal.linux.rootfs import PROPAGATE, build_base, remove_tree
from rehearsal.region import (
    DEBIAN_OWNER,
    ENDPOINT,
    ENDPOINT_PORT,
    REPOSITORY,
    Region,
    RehearsalError,
    aws_region,
    endpoint_url,
)

Client: TypeAlias = Any
"""botocore makes its clients' types at run time."""
DAEMON = "daemon"
COMMANDS = "commands"
BAKE = "bake"
"""Packer, Ansible and what they start, apart from the user's commands: a bake ends what an old one left."""


def require_root() -> None:
    """Namespaces, mounts and nspawn need root: say so before anything is half made."""
    if os.geteuid() != 0:
        raise RehearsalError("The rehearsal needs root for namespaces and mounts; run it with sudo.")


def start(region: Region) -> None:
    """Have the base image, the network and the local AWS ready. What runs already is left alone."""
    require_root()
    region.prepare()
    build_base(region)
    if aws_running(region):
        return
    down(region)
    Network(region).setup()
    _start_aws(region)


def down(region: Region) -> None:
    """End every process of the rehearsal and remove its machines, networks and control groups."""
    require_root()
    for name in (BAKE, COMMANDS, DAEMON):
        ControlGroup(region, name).end(grace=2.0)
    for machine in machines(region):
        machine.remove()
    Network(region).teardown()
    ControlGroup(region).end()
    for left in PROPAGATE.glob(f"{region.namespace}-build-*"):
        with contextlib.suppress(OSError):
            left.rmdir()
    remove_tree(region.run)


def aws_running(region: Region) -> bool:
    """Whether the local AWS answers."""
    return Process.read(region.run / READY) is not None and Network(region).exists()


def environment(region: Region) -> dict[str, str]:
    """The variables by which AWS's own libraries and tools find the local AWS, and nothing else of AWS's.

    Machines of two rehearsals have the same addresses, and Ansible names SSH connections by address alone.
    Here it names them by the rehearsal too, lest one's tasks go to the other's machine.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    return kept | {
        "AWS_ENDPOINT_URL": endpoint_url(),
        "AWS_ACCESS_KEY_ID": "rehearsal",
        "AWS_SECRET_ACCESS_KEY": "rehearsal",
        "AWS_DEFAULT_REGION": aws_region(),
        "AWS_REGION": aws_region(),
        "AWS_EC2_METADATA_DISABLED": "true",
        "ANSIBLE_SSH_CONTROL_PATH": f"%(directory)s/{region.namespace}-%%h",
        "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), "10.42.0.0/16", str(ENDPOINT)])),
    }


def region_command(region: Region, command: Sequence[str], *, group: str = COMMANDS) -> list[str]:
    """The given command in the region's network, with its resolver, in a control group of the rehearsal."""
    network = Network(region)
    if not network.exists():
        raise RehearsalError("No rehearsal runs; `python -m rehearsal start` starts one.")
    script = (
        ControlGroup(region, group).join_commands()
        + f"mount --bind {shlex.quote(str(region.run / 'resolv.conf'))} /etc/resolv.conf\n"
        + 'exec "$@"\n'
    )
    return network.inside("unshare", "--mount", "--propagation", "slave", "sh", "-ec", script, "sh", *command)


def run_in_region(region: Region, command: Sequence[str]) -> int:
    """Run a command inside the region until it ends; returns its status."""
    return subprocess.run(region_command(region, command), check=False, env=environment(region)).returncode


def client(service: str) -> Client:
    """A botocore client of the local AWS, for a process that is inside the region's network."""
    session = botocore.session.get_session()
    made: Client = session.create_client(
        service,
        region_name=aws_region(),
        endpoint_url=endpoint_url(),
        aws_access_key_id="rehearsal",
        aws_secret_access_key="rehearsal",  # noqa: S106 - the local AWS does not look at it
        config=Config(retries={"max_attempts": 2}, proxies={}),
    )
    return made


def spot_notice(instance: str, seconds: float = 120) -> None:
    """Have EC2 tell an instance that it ends in so many seconds, and take its machine away then.

    Like the three below for a process that is inside the region's network.
    """
    _order("spot-notice", instance=instance, seconds=seconds)


def rebalance(instance: str) -> None:
    """Have EC2 recommend to replace an instance."""
    _order("rebalance", instance=instance)


def throttle(service: str, calls: int, action: str = "") -> None:
    """Have the next calls of a service refused, or of one action of it; 0 ends that.

    A service's name is the one that requests are signed for: ``autoscaling``, ``ec2``, ``monitoring``.
    """
    _order("throttle", service=service, calls=calls, action=action)


def metadata_away(address: str, seconds: float) -> None:
    """Have the metadata service give no answer to an address for so long; 0 ends that."""
    _order("metadata-away", address=address, seconds=seconds)


class LaunchOptions(TypedDict, total=False):
    """What else an instance is launched with."""

    public_key: Path | None
    """Imported as a key pair; opens ``ssh admin@``."""
    user_data: str | None
    profile: str | None
    """Name of an instance profile."""
    instance_type: str


def launch(
    region: Region, image: str, tags: dict[str, str], **options: Unpack[LaunchOptions]
) -> tuple[str, str]:
    """Launch an instance from an image given by id or name; returns its id and private address.

    The instance can read the tags through its metadata. EC2 says that it runs when this returns; systemd may
    still be booting.
    """
    with Network(region).visit():
        return _launch(region, image, tags, options)


def _launch(region: Region, image: str, tags: dict[str, str], options: LaunchOptions) -> tuple[str, str]:
    ec2 = client("ec2")
    request: dict[str, Any] = {
        "ImageId": image if image.startswith("ami-") else image_id(ec2, image),
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
    instance = ec2.run_instances(**request)["Instances"][0]
    name = str(instance["InstanceId"])
    deadline = time.monotonic() + 60
    while (state := _state(ec2, name)) == "pending" and time.monotonic() < deadline:
        time.sleep(0.1)
    if state != "running":
        raise RehearsalError(f"Instance {name} is {state}, not running; see {region.logs / 'aws.log'}.")
    return name, str(instance["PrivateIpAddress"])


def instances(*states: str) -> list[dict[str, Any]]:
    """The instances in these states, as EC2 describes them, with their tags as a dictionary ``tags``."""
    wanted = [{"Name": "instance-state-name", "Values": list(states)}]
    described = client("ec2").describe_instances(Filters=wanted)["Reservations"]
    return [
        each | {"tags": {tag["Key"]: tag["Value"] for tag in each.get("Tags", [])}}
        for reservation in described
        for each in reservation["Instances"]
    ]


def image_id(ec2: Client, name: str) -> str:
    """Id of the newest image with this name; ``*`` matches anything, ``debian`` is the base image."""
    pattern, owner = ("debian-13-*", DEBIAN_OWNER) if name == "debian" else (name, "self")
    found = ec2.describe_images(Owners=[owner], Filters=[{"Name": "name", "Values": [pattern]}])["Images"]
    if not found:
        raise RehearsalError(f"There is no image {name!r}; `python -m rehearsal status` lists them.")
    return str(max(found, key=lambda image: str(image["CreationDate"]))["ImageId"])


def find_machine(region: Region, name: str) -> Machine:
    """The machine with this name, or whose name ends with it."""
    found = [machine for machine in machines(region) if machine.name == name or machine.name.endswith(name)]
    if len(found) != 1:
        known = ", ".join(machine.name for machine in machines(region)) or "none"
        raise RehearsalError(f"{name!r} names {len(found)} machines; there are: {known}.")
    return found[0]


def _order(order: str, **details: str | float) -> None:
    """Tell the local AWS to do something to somebody."""
    request = urllib.request.Request(  # noqa: S310 - the local AWS
        f"{endpoint_url()}/_rehearsal/{order}", data=json.dumps(details).encode(), method="POST"
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30):
            pass
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")
        raise RehearsalError(f"The local AWS refused {order} {details}: {said}") from error


def _import_key(ec2: Client, public_key: Path) -> str:
    """Name of the key pair of a public key, imported at its first use."""
    material = public_key.read_bytes()
    name = f"rehearsal-{hashlib.sha256(material).hexdigest()[:12]}"
    if not ec2.describe_key_pairs(Filters=[{"Name": "key-name", "Values": [name]}])["KeyPairs"]:
        ec2.import_key_pair(KeyName=name, PublicKeyMaterial=material)
    return name


def _state(ec2: Client, instance: str) -> str:
    described = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    return str(described["State"]["Name"])


def _start_aws(region: Region) -> None:
    ready = region.run / READY
    log = region.logs / "aws.log"
    ready.unlink(missing_ok=True)
    command = region_command(region, [sys.executable, "-m", "rehearsal.aws"], group=DAEMON)
    variables = environment(region) | {"PYTHONPATH": str(REPOSITORY), "AIRKILN_REHEARSAL": region.name}
    with log.open("wb") as output:
        started = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=variables,
            cwd=region.home,
            start_new_session=True,
        )
    deadline = time.monotonic() + 60
    while not ready.exists():
        if started.poll() is not None or time.monotonic() > deadline:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
            raise RehearsalError(
                f"The local AWS did not start at {ENDPOINT}:{ENDPOINT_PORT}; its log is {log}:\n{tail}"
            )
        time.sleep(0.05)
