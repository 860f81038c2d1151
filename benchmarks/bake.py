"""How long a bake takes, how large the image is, and what a second run of a playbook costs:
`python -m benchmarks.bake`.

- `image`: the whole `packer build`, from the source image to the finished image in the emulated EC2. Packages
  come over the network, or from a cache if there is one; a build instance has no cache of its own.
- `image_size`: the merged tree of the image as `du` counts it, in units of 1,000,000 bytes.
- `install`: Airflow's lock into a new virtual environment, by uv with the options of the role `base` and by
  pip. Both check hashes, use wheels only, compile bytecode and start with an empty cache, alternately on the
  same machine.
- `rerun`: `playbooks/site.yml` over SSH on an all-in-one that is already configured; `rerun_changed` counts
  the tasks that changed something. `first_run` is the same on a bare Debian 13.
"""

from __future__ import annotations

import argparse
import functools
import json
import re
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import rehearsed, results
from benchmarks.rehearsed import say
from benchmarks.results import Figure
from rehearsal.aws.client import client
from rehearsal.aws.instances import launch_instance
from rehearsal.aws.services.ec2.images import Catalogue
from rehearsal.deployment import bake
from rehearsal.deployment.image import run_logged
from rehearsal.errors import RehearsalError
from rehearsal.linux.machine import Machine
from rehearsal.linux.mounts import overlay_command
from rehearsal.progress import Stages
from rehearsal.region import REPOSITORY, Region

MB = 1_000_000
BAKE_BUDGET = 150.0
"""Seconds."""
SIZE_BUDGET = 1600.0
"""MB."""
RERUN_BUDGET = 30.0
"""Seconds."""
LOCK = "/opt/airflow/requirements.txt"
"""Where roles/base/tasks/new_environment.yml puts Airflow's lock."""
SCRATCH = "/opt/benchmark"
"""On the same file system as /opt/airflow.d, so that uv links files out of its cache as it does in a bake."""
INSTALLERS = {
    "uv, as baked": f"""
        export UV_NO_CONFIG=1 UV_NO_PROGRESS=1 UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS=true
        export UV_CACHE_DIR={SCRATCH}/cache VIRTUAL_ENV={SCRATCH}/venv
        uv venv --quiet --python /usr/bin/python3.13 {SCRATCH}/venv
        uv pip sync --quiet --require-hashes --only-binary :all: --compile-bytecode {LOCK}
    """,
    "pip": f"""
        /usr/bin/python3.13 -m venv {SCRATCH}/venv
        {SCRATCH}/venv/bin/pip install --quiet --disable-pip-version-check --no-cache-dir --no-deps \\
            --require-hashes --only-binary :all: --compile --requirement {LOCK}
    """,
}
"""How each one installs. pip is spared the resolver (--no-deps): the lock is complete."""
INSTALL_LIMIT = 900
"""Seconds."""
CONDITIONS = (
    "a rehearsal on this machine: the instances are containers on a local disk; every install begins with an "
    "empty cache, and packages come over this machine's network"
)

COMPILED_TOLERANCE = 0.01
"""Share of modules that one may compile and the other not, such as files that no Python can parse."""

_RECAP = re.compile(r"^\S+\s+: ok=\d+\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


@dataclass
class Baked:
    """What came of the bakes."""

    seconds: list[float] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Installed:
    """What an installer left."""

    packages: frozenset[str]
    """Names of the dist-info folders."""
    compiled: int
    """Files of bytecode."""


def bakes(region: Region, runs: int) -> list[Figure]:
    """Bake anew `runs` times; the images are given up afterwards."""
    done = Baked()
    for turn in range(1, runs + 1):
        stages = Stages(1)
        log = region.logs / f"benchmark-bake-{turn}.log"
        begun = time.monotonic()
        with stages.stage(f"Image {turn} of {runs}, by {bake.tool()}", log):
            image = bake.bake(region, functools.partial(_logged, region, log, stages))
        done.seconds.append(time.monotonic() - begun)
        done.sizes.append(image_bytes(region, image) / MB)
        client("ec2").deregister_image(ImageId=image)
        say(f"image: {done.seconds[-1]:.1f} s, {done.sizes[-1]:.0f} MB")
    return [
        results.summarise("image", f"airkiln, {bake.tool()}", done.seconds, budget=BAKE_BUDGET),
        results.summarise("image_size", "airkiln", done.sizes, unit="MB", budget=SIZE_BUDGET),
    ]


def _logged(region: Region, log: Path, stages: Stages, command: list[str]) -> None:
    run_logged(region, command, log, stages)


def image_bytes(region: Region, image: str) -> int:
    """Bytes on disk of the merged tree of an image's layers."""
    found = Catalogue(region).get(image)
    if found is None:
        raise RehearsalError(f"The image {image} is not in the catalogue of {region.images}.")
    with tempfile.TemporaryDirectory(dir=region.home) as folder:
        upper, work, root = (Path(folder) / name for name in ("upper", "work", "root"))
        for part in (upper, work, root):
            part.mkdir()
        mount = overlay_command([Path(layer) for layer in found.layers], upper, work, root)
        script = f"{mount}\ndu --summarize --one-file-system --block-size=1 '{root}'"
        command = ["unshare", "--mount", "--propagation", "slave", "sh", "-ec", script]
        counted = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return int(counted.stdout.split()[0])


def host(region: Region, reruns: int, installs: int) -> list[Figure]:
    """Converge a bare Debian 13, converge it again, then install the lock on it in both ways."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        key = Path(folder, "key")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        name, address = launch_instance(
            region, "debian", {"Name": "site"}, public_key=key.with_suffix(".pub")
        )
        with rehearsed.instance(region, name) as machine:
            machine.wait_until_booted()
            machine.execute(["cloud-init", "status", "--wait"], check=False)
            return [
                *converge(region, inventory(Path(folder), address, key), reruns),
                *install(machine, installs),
            ]


def inventory(folder: Path, address: str, key: Path) -> Path:
    """An inventory with one all-in-one, and the repository's variables of that group beside it."""
    host_variables = {
        "ansible_host": address,
        "ansible_user": "admin",
        "ansible_ssh_private_key_file": str(key),
        "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
    }
    (folder / "group_vars").symlink_to(REPOSITORY / "inventory/group_vars")
    path = folder / "hosts.json"
    path.write_text(json.dumps({"all": {"children": {"all_in_one": {"hosts": {"site": host_variables}}}}}))
    return path


def converge(region: Region, hosts: Path, reruns: int) -> list[Figure]:
    """`site.yml` once, and then `reruns` times more."""
    seconds, changed = [], []
    for turn in range(reruns + 1):
        log = region.logs / f"benchmark-site-{turn}.log"
        words = [bake.ANSIBLE_PLAYBOOK, REPOSITORY / "playbooks/site.yml", "--inventory", hosts]
        stages = Stages(1)
        begun = time.monotonic()
        with stages.stage(f"site.yml, run {turn + 1} of {reruns + 1}", log):
            _logged(region, log, stages, [str(word) for word in words])
        seconds.append(time.monotonic() - begun)
        changed.append(float(recap(log.read_text())))
        say(f"site.yml: {seconds[-1]:.1f} s, changed={changed[-1]:.0f}")
    return [
        results.summarise("first_run", "airkiln, site.yml", seconds[:1]),
        results.summarise("rerun", "airkiln, site.yml", seconds[1:], budget=RERUN_BUDGET),
        results.summarise("rerun_changed", "airkiln, site.yml", changed[1:], unit="tasks", budget=0.0),
    ]


def recap(output: str) -> int:
    """How much a play changed. RehearsalError if its recap is missing or says that a host failed."""
    found = _RECAP.findall(output)
    if len(found) != 1 or found[0][1:] != ("0", "0"):
        raise RehearsalError(f"Ansible's recap is not that of one host that went well: {found}.")
    return int(found[0][0])


def install(machine: Machine, runs: int) -> list[Figure]:
    """Both installers in turn, `runs` times each, on a machine where nothing else of ours runs."""
    machine.execute(["systemctl", "stop", "airkiln-all.target", "postgresql.service"])
    samples: dict[str, list[float]] = {subject: [] for subject in INSTALLERS}
    left: dict[str, Installed] = {}
    for turn in range(1, runs + 1):
        for subject, script in INSTALLERS.items():
            machine.execute(["rm", "-rf", SCRATCH])
            machine.execute(["mkdir", SCRATCH])
            begun = time.monotonic()
            machine.execute(["sh", "-ec", script], timeout=INSTALL_LIMIT)
            samples[subject].append(time.monotonic() - begun)
            left[subject] = installed(machine)
            say(f"install by {subject}, {turn} of {runs}: {samples[subject][-1]:.1f} s")
    machine.execute(["rm", "-rf", SCRATCH])
    require_equal(left)
    return [results.summarise("install", subject, seconds) for subject, seconds in samples.items()]


def installed(machine: Machine) -> Installed:
    """What an installer left in the environment, without pip, which only one of them brings along."""
    script = f"""
        cd {SCRATCH}/venv/lib/python3.13/site-packages
        ls -d *.dist-info | grep -v '^pip-'
        find . -path ./pip -prune -o -name '*.pyc' -print | wc -l
    """
    *packages, compiled = machine.execute(["sh", "-ec", script]).stdout.split()
    return Installed(frozenset(packages), int(compiled))


def require_equal(left: Mapping[str, Installed]) -> None:
    """Both must have done the same work, or the comparison says nothing. RehearsalError with what differs."""
    one, other = left.values()
    if one.packages != other.packages:
        raise RehearsalError(f"The installers left different packages: {one.packages ^ other.packages}.")
    if abs(one.compiled - other.compiled) > one.compiled * COMPILED_TOLERANCE:
        raise RehearsalError(f"The installers compiled {one.compiled} and {other.compiled} modules.")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Bake time, image size, install step, second run.")
    parser.add_argument("--bakes", type=int, default=2, help="whole bakes (default: %(default)s)")
    parser.add_argument("--installs", type=int, default=3, help="of each installer (default: %(default)s)")
    parser.add_argument("--reruns", type=int, default=3, help="of site.yml (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="default: benchmarks/results/bake.json")
    parser.add_argument("--keep", action="store_true", help="leave the rehearsal running")
    options = parser.parse_args()
    figures: list[Figure] = []
    with rehearsed.region(keep=options.keep) as region:
        if options.bakes:
            figures += bakes(region, options.bakes)
        figures += host(region, options.reruns, options.installs)
    path = results.record("bake", figures, options.output, conditions=CONDITIONS)
    say(results.table(figures))
    say(f"written to {path}")


if __name__ == "__main__":
    main()
