"""The instance of a Molecule scenario, for molecule/shared/: `molecule_instance.py launch|terminate DIRECTORY`.

DIRECTORY holds `key.pub` and gets `instance` (id and address on one line) and `image-variables.json`, Ansible's
variables for an image that is baked inside the rehearsal.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rehearsal import bake, control
from rehearsal.settings import current


def launch(directory: Path) -> None:
    """Launch an instance of the base image that the directory's key opens."""
    variables = bake.image_variables(control.client("s3"))
    (directory / "image-variables.json").write_text(json.dumps(variables), encoding="utf-8")
    wanted = control.Launch("debian", public_key=directory / "key.pub")
    (directory / "instance").write_text(" ".join(control.launch(current(), wanted)) + "\n", encoding="utf-8")


def terminate(directory: Path) -> None:
    """Terminate the instance that the directory names."""
    instance = (directory / "instance").read_text(encoding="utf-8").split()[0]
    control.client("ec2").terminate_instances(InstanceIds=[instance])


if __name__ == "__main__":
    {"launch": launch, "terminate": terminate}[sys.argv[1]](Path(sys.argv[2]))
