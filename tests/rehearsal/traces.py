"""What a rehearsal shows of itself outside its folder, and what the host's own network looks like."""

from __future__ import annotations

import subprocess
from pathlib import Path

from rehearsal.linux.cgroups import ControlGroup
from rehearsal.region import Region


def traces(region: Region) -> list[str]:
    """What a rehearsal shows outside build/: mounts, namespaces, processes, control groups, sockets."""
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if region.name in line]
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout
    namespaces = [line for line in listed.splitlines() if region.name in line]
    groups = [str(folder) for folder in ControlGroup(region).existing()]
    left = [str(path) for path in Path("/run/systemd/nspawn/propagate").glob(f"*{region.name}*")]
    return mounts + namespaces + groups + left + commands(region)


def commands(region: Region) -> list[str]:
    """Command lines and roots of living processes that name the rehearsal."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            root = str((process / "root").readlink())
        except OSError:
            continue
        if str(region.home) in line + root or f"/{region.namespace} " in line:
            found.append(f"{process.name}: {line}")
    return found


def host_network() -> str:
    """Addresses, links, rules and forwarding of the host itself."""
    asked = (["ip", "-o", "address"], ["ip", "rule"], ["ip", "route"], ["nft", "list", "ruleset"])
    shown = [subprocess.run(each, check=True, capture_output=True, text=True).stdout for each in asked]
    return "".join(shown) + Path("/proc/sys/net/ipv4/ip_forward").read_text()
