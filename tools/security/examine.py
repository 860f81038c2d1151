"""Examines a running machine of the image. Lynis and debian-cis lie in its /run, which is memory."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from rehearsal.errors import RehearsalError
from rehearsal.linux.machine import Machine
from rehearsal.linux.rootfs import build_layer
from rehearsal.region import Region
from tools.security import cis, exposure, lynis

FOLDER = "/run/security"
SECONDS = 900.0
"""For one audit: ten times what Lynis takes on two idle cores."""
LYNIS_SCRIPT = "apt-get update\napt-get install --yes --no-install-recommends lynis\n"
LYNIS_PARTS = {"usr/share/lynis": ".", "etc/lynis": ".", "usr/sbin/lynis": "lynis"}
"""Where Debian's package puts Lynis, and where it is in a folder that Lynis runs from."""


def scores(machine: Machine) -> dict[str, float]:
    """The exposure of every service of Airkiln and Airflow, and of the others that start at boot."""
    listed = machine.execute(
        ["systemctl", "list-unit-files", "--no-legend", "--no-pager", "--plain", "--type=service"]
    )
    found = (line.split()[:2] for line in listed.stdout.splitlines() if line.strip())
    units = [unit for unit, state in found if exposure.OURS.match(unit) or state == "enabled"]

    def measured(unit: str) -> float:
        asked = machine.execute(["sh", "-c", exposure.command(unit, running=True)], check=False)
        return exposure.score(asked.stdout + asked.stderr)

    return {unit: measured(unit) for unit in sorted(units)}


def install_lynis(region: Region, machine: Machine) -> str:
    """Put Lynis from Debian's archive into the machine's memory, and return its version."""
    layer = build_layer(region, "lynis", LYNIS_SCRIPT)[0]
    folder = inside(machine, f"{FOLDER}/lynis")
    for part, to in LYNIS_PARTS.items():
        source = layer / part
        if source.is_dir():
            shutil.copytree(source, folder / to, dirs_exist_ok=True, symlinks=True)
        else:
            shutil.copy(source, folder / to)
    version = machine.execute(["sh", "-c", f"cd {FOLDER}/lynis && sh ./lynis show version"]).stdout
    return version.strip()


def run_lynis(machine: Machine, name: str, waivers: Mapping[str, str]) -> lynis.Result:
    """Audit the machine with Lynis' own profile and these waivers.

    :param name: names the audit's files.
    """
    folder = inside(machine, f"{FOLDER}/{name}")
    folder.mkdir(parents=True)
    (folder / "waivers.prf").write_text(lynis.profile(waivers))
    profiles = f"--profile {FOLDER}/{name}/waivers.prf " if waivers else ""
    files = f"--report-file {FOLDER}/{name}/report.dat --log-file {FOLDER}/{name}/lynis.log"
    command = f"cd {FOLDER}/lynis && sh ./lynis audit system --quick --quiet {profiles}{files}"
    machine.execute(["sh", "-c", command], check=False, timeout=SECONDS)
    try:
        return lynis.parse(
            (folder / "report.dat").read_text(errors="replace"),
            (folder / "lynis.log").read_text(errors="replace"),
        )
    except (OSError, ValueError) as unread:
        raise RehearsalError(f"Lynis left no result on {machine.name}: {unread} {machine.hint}") from unread


def written_kernel_settings(machine: Machine) -> dict[str, str]:
    """The kernel settings in the image's files."""
    return lynis.kernel_settings(
        machine.execute(["/usr/lib/systemd/systemd-sysctl", "--cat-config", "--no-pager"]).stdout
    )


def run_cis(machine: Machine, copy: Path) -> cis.Result:
    """Audit the machine with a copy of debian-cis.

    :raises RehearsalError: the folder holds none, or no check ran.
    """
    if not (copy / "bin/hardening.sh").is_file():
        raise RehearsalError(
            f"{cis.VARIABLE}={copy} is no copy of debian-cis (no bin/hardening.sh): name its folder."
        )
    folder = f"{FOLDER}/debian-cis"
    shutil.copytree(copy, inside(machine, folder), symlinks=True, ignore=shutil.ignore_patterns(".git"))
    printed = machine.execute(["bash", "-c", cis.script(folder)], check=False, timeout=SECONDS)
    try:
        return cis.parse(printed.stdout)
    except ValueError as empty:
        raise RehearsalError(f"{empty} {printed.stderr.strip()[-500:]}") from empty


def inside(machine: Machine, folder: str) -> Path:
    """A folder of the running machine, as the host reaches it."""
    return Path(f"/proc/{machine.leader()}/root{folder}")
