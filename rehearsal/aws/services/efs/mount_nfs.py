#!/usr/bin/python3
"""Stub of mount.nfs4(8) in a machine whose kernel has no NFS: shows the folder of the file system.

    mount.nfs4 127.0.0.1:/ DIRECTORY [-o OPTIONS]

mount(8) calls it as it calls the real one. It mounts what an NFS client would reach: the tunnel's socket must
accept a connection, and the file system that the tunnel names must exist. Of the options it obeys those that
mount(8) itself knows (nosuid, noexec, nodev, ro); the others are the NFS client's.

It uses the standard library only and knows nothing of the rehearsal, because it runs inside the machine. The
exit status is 0, or 32 for a mount that failed (mount(8)).
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

FOLDERS = Path("/sys/hypervisor/efs")
TUNNEL = Path("/run/airkiln-efs/stunnel.conf")
FAILED = 32
OWN = ("ro", "rw", "nosuid", "noexec", "nodev")


def fail(reason: str) -> None:
    """End as mount.nfs4 does."""
    sys.stderr.write(f"mount.nfs4: {reason}\n")
    raise SystemExit(FAILED)


def main(arguments: list[str]) -> None:
    """Mount, or end with the reason."""
    what, directory = arguments[:2]
    given = ",".join(value for flag, value in pairwise(arguments) if flag == "-o")
    options = given.split(",")
    (port, *_) = [each.partition("=")[2] for each in options if each.startswith("port=")] or ["2049"]
    server = what.partition(":")[0]
    try:
        socket.create_connection((server, int(port)), timeout=10).close()
    except OSError as error:
        fail(f"{error.strerror or error} for {what} on {directory}")
    named = re.search(r"^connect *= *(fs-[0-9a-f]+)\.efs\.", TUNNEL.read_text(encoding="utf-8"), re.MULTILINE)
    source = FOLDERS / named[1] if named else None
    if source is None or not source.is_dir():
        fail(f"mounting {what} failed, reason given by server: No such file or directory")
    own = ",".join(["remount", "bind", *(each for each in options if each in OWN)])
    subprocess.run(["mount", "--internal-only", "--bind", str(source), directory], check=True)
    subprocess.run(["mount", "--internal-only", "-o", own, directory], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
