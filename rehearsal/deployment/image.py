"""The image of this tree: baked once, and used until one of its ingredients changes."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path

from rehearsal.aws import authority, session
from rehearsal.aws.client import client
from rehearsal.deployment import bake
from rehearsal.errors import RehearsalError
from rehearsal.linux.cgroups import ControlGroup
from rehearsal.progress import Stages
from rehearsal.region import REPOSITORY, Region

INGREDIENTS = (
    "packer",
    "playbooks",
    "roles",
    "src",
    "src/airkiln_deploy/requirements.py",
    "rehearsal/aws/stub_agents",
    "rehearsal/deployment/bake.py",
    "pyproject.toml",
)
"""What an image is made of, besides the root filesystem."""
OF_DEPLOYMENTS = (
    "playbooks/deploy.yml",
    "playbooks/destroy.yml",
    "playbooks/filter_plugins",
    "playbooks/library",
    "playbooks/tasks/deploy",
    "playbooks/tasks/destroy",
    "src/airkiln_deploy",
)
"""What of it no bake uses, unless INGREDIENTS names the file itself: a change of it needs no other image."""

_TASK = re.compile(r"TASK \[(.+?)\] \*+")


def baked_image(region: Region, stages: Stages) -> str:
    """Id of the image of this tree, baked unless it exists."""
    digest = ingredients_digest()
    ec2 = client("ec2")
    record = region.images / "baked.json"
    known = json.loads(record.read_text()) if record.exists() else {}
    images = {image["ImageId"] for image in ec2.describe_images(Owners=["self"])["Images"]}
    log = region.logs / "bake.log"
    if bake.packer() is None:
        stages.note("There is no Packer here: playbooks/image.yml bakes without it.")
    with stages.stage(f"Image, by {bake.tool()}", log):
        if known.get("digest") == digest and known.get("image") in images:
            stages.remark("baked before")
            return str(known["image"])
        image = bake.bake(region, lambda command: run_logged(region, command, log, stages))
        record.write_text(json.dumps({"digest": digest, "image": image}) + "\n")
        return image


def ingredients_digest() -> str:
    """SHA-256 over the names and contents of the ingredients, and the authority that the image holds."""
    digest = hashlib.sha256()
    for name in INGREDIENTS:
        top = REPOSITORY / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts and (path == top or _baked(path)):
                digest.update(f"{path.relative_to(REPOSITORY)}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    digest.update(authority.certificate().encode())
    return digest.hexdigest()


def _baked(path: Path) -> bool:
    """Whether a bake uses a file of a folder of INGREDIENTS."""
    return not any(path.is_relative_to(REPOSITORY / name) for name in OF_DEPLOYMENTS)


def run_logged(region: Region, command: list[str], log: Path, stages: Stages) -> None:
    """Run a command in the region; its output goes to the log, Ansible's task names to the stage's line.

    However it ends, nothing that it started is left running.
    """
    try:
        with (
            log.open("w") as output,
            subprocess.Popen(
                session.region_command(region, command, group=session.BAKE),
                env=session.environment(region),
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            ) as process,
        ):
            for line in process.stdout or ():
                output.write(line)
                output.flush()
                if found := _TASK.search(line):
                    stages.detail(found[1])
    finally:
        ControlGroup(region, session.BAKE).end(grace=2.0)
    if process.returncode:
        raise RehearsalError(
            f"{Path(command[0]).name} failed with status {process.returncode}; see {log}. When the cause is "
            "fixed, run the same command again: it continues from there."
        )
