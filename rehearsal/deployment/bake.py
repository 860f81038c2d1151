"""Bakes the image: ``packer build packer/``, unmodified, against the emulated EC2.

Variables give everything that differs from a bake on AWS: the endpoint, the private address for SSH, how
often to poll, the authority of databases and load balancers, and Amazon's agents, which are stubs from the
emulated S3 (``rehearsal/aws/stub_agents``).
Without Packer, the playbook runs by itself on an instance of the same EC2.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rehearsal.aws import authority, session, stub_agents
from rehearsal.aws.account import endpoint_url
from rehearsal.aws.client import client
from rehearsal.aws.instances import find_image, launch_instance, list_instances
from rehearsal.errors import RehearsalError
from rehearsal.linux.addresses import NETWORK
from rehearsal.linux.cgroups import ControlGroup
from rehearsal.region import REPOSITORY, Region

PACKAGES_BUCKET = "airkiln-rehearsal-packages"
AUTHORITY_KEY = "database-authority.pem"
BUILT_PACKER = REPOSITORY / "build/tools/packer"
"""Where packer/tools/install.sh puts Packer."""
ANSIBLE_PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")

VERSION_TAG = "airkiln:version"
"""Marks an instance that is being baked: packer/airflow.pkr.hcl gives it the tags of the image."""

SSH = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectionAttempts=60"
"""A machine that still boots refuses connections; ssh tries once per second."""

Run = Callable[[list[str]], None]
"""Runs a command inside the region, where the AWS endpoint is; raises RehearsalError when it fails."""


def tool() -> str:
    """What bakes, in words."""
    return "packer build" if packer() else "playbooks/image.yml"


def packer() -> Path | None:
    """The Packer that $PACKER names, or the one that was built; None if it cannot be executed."""
    path = Path(os.environ.get("PACKER") or BUILT_PACKER)
    return path if os.access(path, os.X_OK) else None


def image_variables(s3: Any) -> dict[str, object]:  # noqa: ANN401 - boto3 makes its clients' types at run time
    """Ansible's variables for an image of the rehearsal; also publishes to S3 what they name."""
    s3.create_bucket(Bucket=PACKAGES_BUCKET, ACL="public-read")
    variables: dict[str, object] = {"boot_aws_environment": {"AWS_ENDPOINT_URL": endpoint_url()}}
    roles = {"amazon-ssm-agent": "ssm_agent", "amazon-cloudwatch-agent": "cloudwatch"}
    for agent in stub_agents.build(REPOSITORY / "build/stub-agents"):
        role = roles[agent.name]
        s3.put_object(
            Bucket=PACKAGES_BUCKET, Key=agent.path.name, Body=agent.path.read_bytes(), ACL="public-read"
        )
        variables[f"{role}_url"] = f"{endpoint_url()}/{PACKAGES_BUCKET}/{agent.path.name}"
        variables[f"{role}_sha256"] = dict.fromkeys(("x86_64", "aarch64"), agent.sha256)
    body = authority.certificate().encode()
    s3.put_object(Bucket=PACKAGES_BUCKET, Key=AUTHORITY_KEY, Body=body, ACL="public-read")
    variables["database_authority_url"] = f"{endpoint_url()}/{PACKAGES_BUCKET}/{AUTHORITY_KEY}"
    variables["database_authority_sha256"] = hashlib.sha256(body).hexdigest()
    variables["base_ca_certificates"] = [str(authority.path())]
    return variables


def bake(region: Region, run: Run) -> str:
    """Bake an image and return its id. The caller must be in the region's network.

    :param run: runs each long command.
    """
    end_leftovers(region)
    variables = region.home / "image-variables.json"
    variables.write_text(json.dumps(image_variables(client("s3")), indent=2) + "\n")
    program = packer()
    if program is None:
        return _bake_by_playbook(region, variables, run)
    manifest = region.home / "manifest.json"
    manifest.unlink(missing_ok=True)
    os.environ.setdefault("PACKER_PLUGIN_PATH", str(REPOSITORY / "build/tools/plugins"))
    settings = {
        "commit": commit(),
        "ssh_interface": "private_ip",
        "ssh_source_cidrs": json.dumps([str(NETWORK)]),
        "poll_seconds": 1,
        "manifest_path": manifest,
        "ansible_playbook_command": ANSIBLE_PLAYBOOK,
        "ansible_extra_arguments": json.dumps(["--extra-vars", f"@{variables}"]),
    }
    words = [word for name, value in settings.items() for word in ("-var", f"{name}={value}")]
    run([str(program), "build", "-color=false", *words, str(REPOSITORY / "packer")])
    builds = json.loads(manifest.read_text())["builds"]
    return str(builds[-1]["artifact_id"]).rpartition(":")[2]


def end_leftovers(region: Region) -> None:
    """End what an interrupted bake left: its processes, and the instance that was being baked."""
    ControlGroup(region, session.BAKE).end(grace=2.0)
    building = [
        each["InstanceId"]
        for each in list_instances("pending", "running", "stopping", "stopped")
        if VERSION_TAG in each["tags"]
    ]
    if building:
        client("ec2").terminate_instances(InstanceIds=building)


def commit() -> str:
    """The commit that is baked, with ``-dirty`` if the working tree differs."""
    asked = subprocess.run(
        ["git", "-C", REPOSITORY, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() or "unknown"


def _bake_by_playbook(region: Region, variables: Path, run: Run) -> str:
    """What Packer does, without it: an instance, the playbook, an image."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    ec2 = client("ec2")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        key = Path(folder, "key")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        tags = {"Name": "bake", VERSION_TAG: project["version"]}
        instance, address = launch_instance(region, "debian", tags, public_key=key.with_suffix(".pub"))
        facts = {
            "airkiln_version": project["version"],
            "airkiln_commit": commit(),
            "airkiln_source_ami": find_image(ec2, "debian"),
            "airkiln_architecture": "amd64" if os.uname().machine == "x86_64" else "arm64",
            "airkiln_built_at": "unknown",
        }
        run(
            [
                *(str(ANSIBLE_PLAYBOOK), str(REPOSITORY / "playbooks/image.yml")),
                *("--inventory", f"{address},", "--user", "admin", "--private-key", str(key)),
                *("--ssh-common-args", SSH),
                *("--extra-vars", json.dumps(facts), "--extra-vars", f"@{variables}"),
            ]
        )
    ec2.stop_instances(InstanceIds=[instance])
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[instance], WaiterConfig={"Delay": 1})
    image = str(ec2.create_image(InstanceId=instance, Name=f"airkiln-{project['version']}")["ImageId"])
    ec2.get_waiter("image_available").wait(ImageIds=[image], WaiterConfig={"Delay": 1})
    ec2.terminate_instances(InstanceIds=[instance])
    if not image:
        raise RehearsalError("The emulated EC2 made no image; see its log.")
    return image
