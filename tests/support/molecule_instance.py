"""One scenario's instance: `python -m tests.support.molecule_instance launch|terminate DIRECTORY`.

DIRECTORY holds `key.pub` and gets `instance` (id and address on one line) and `image-variables.json`,
Ansible's variables for an image that is baked inside the rehearsal.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from rehearsal.aws.client import client
from rehearsal.deployment import bake


def launch(directory: Path) -> None:
    """Launch an instance of the base image that the directory's key opens."""
    variables = bake.image_variables(client("s3"))
    (directory / "image-variables.json").write_text(json.dumps(variables), encoding="utf-8")
    words = [
        sys.executable,
        "-m",
        "rehearsal",
        "launch",
        "debian",
        "--public-key",
        str(directory / "key.pub"),
    ]
    launched = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    (directory / "instance").write_text(launched.stdout, encoding="utf-8")


def terminate(directory: Path) -> None:
    """Terminate the instance that the directory names."""
    instance = (directory / "instance").read_text(encoding="utf-8").split()[0]
    client("ec2").terminate_instances(InstanceIds=[instance])


if __name__ == "__main__":
    {"launch": launch, "terminate": terminate}[sys.argv[1]](Path(sys.argv[2]))
