"""Starts a rehearsal's network and emulated AWS, runs commands in it, and removes everything again.

``down`` needs no record of what was started: it ends the processes in the rehearsal's control group, removes
its network namespaces and deletes its machines. It therefore also works after a crash, after an incomplete
start, and twice. Images, root filesystems and logs stay below ``build/``.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence

from rehearsal.aws.account import aws_region, endpoint_url
from rehearsal.aws.server import READY
from rehearsal.errors import RehearsalError
from rehearsal.linux.addresses import ENDPOINT, ENDPOINT_PORT
from rehearsal.linux.cgroups import ControlGroup
from rehearsal.linux.machine import machines
from rehearsal.linux.mounts import PROPAGATE, quote, remove_tree
from rehearsal.linux.network import Network
from rehearsal.linux.processes import Process
from rehearsal.linux.rootfs import build_rootfs
from rehearsal.region import REPOSITORY, Region

SECRET = "not-checked-by-the-emulated-aws"  # noqa: S105 - nobody checks it
"""A secret access key. Ansible's modules mask the text of theirs in all that they return, such as a host name
with that word in it."""
DAEMON = "daemon"
"""Control group of the emulated AWS."""
COMMANDS = "commands"
"""Control group of the user's commands."""
BAKE = "bake"
"""Control group of Packer, Ansible and what they start: a bake ends what an interrupted one left behind."""


def require_root() -> None:
    """Refuse to go on without root, before anything is started.

    :raises RehearsalError: the process is not root's.
    """
    if os.geteuid() != 0:
        raise RehearsalError("The rehearsal needs root for namespaces and mounts; run it with sudo.")


def start(region: Region) -> None:
    """Build the root filesystem, set up the network and start the emulated AWS, each unless it is there."""
    require_root()
    region.prepare()
    build_rootfs(region)
    if aws_running(region):
        return
    down(region)
    Network(region).setup()
    _start_aws(region)


def down(region: Region) -> None:
    """End every process of the rehearsal; remove its machines, networks and control groups."""
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
    """Return whether the emulated AWS runs."""
    return Process.read(region.run / READY) is not None and Network(region).exists()


def environment(region: Region) -> dict[str, str]:
    """Return this process's environment, with variables by which AWS tools use the emulated AWS only.

    Machines of two rehearsals have the same addresses, and Ansible names SSH connections by address alone.
    The variable ANSIBLE_SSH_CONTROL_PATH adds the rehearsal's name, so that no task reaches another one's
    machine.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    return kept | {
        "AWS_ENDPOINT_URL": endpoint_url(),
        "AWS_ACCESS_KEY_ID": "rehearsal",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": aws_region(),
        "AWS_REGION": aws_region(),
        "AWS_EC2_METADATA_DISABLED": "true",
        "ANSIBLE_SSH_CONTROL_PATH": f"%(directory)s/{region.namespace}-%%h",
        "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), "10.42.0.0/16", str(ENDPOINT)])),
    }


def region_command(region: Region, command: Sequence[str], *, group: str = COMMANDS) -> list[str]:
    """Return a command line that runs ``command`` in the region's network and in a control group.

    The command sees the region's resolver in /etc/resolv.conf.

    :raises RehearsalError: the rehearsal is not running.
    """
    network = Network(region)
    if not network.exists():
        raise RehearsalError("The rehearsal is not running; start it with `python -m rehearsal start`.")
    script = (
        ControlGroup(region, group).join_commands()
        + f"mount --bind {quote(region.run / 'resolv.conf')} /etc/resolv.conf\n"
        + 'exec "$@"\n'
    )
    return network.inside("unshare", "--mount", "--propagation", "slave", "sh", "-ec", script, "sh", *command)


def run_in_region(region: Region, command: Sequence[str]) -> int:
    """Run a command in the region's network and return its exit status."""
    return subprocess.run(region_command(region, command), check=False, env=environment(region)).returncode


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
                f"The emulated AWS did not start at {ENDPOINT}:{ENDPOINT_PORT}. Its log {log} ends:\n{tail}"
            )
        time.sleep(0.05)
