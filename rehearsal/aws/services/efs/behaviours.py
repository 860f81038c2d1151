"""What the emulated EFS reproduces."""

from __future__ import annotations

from rehearsal.aws.services.behaviours import Behaviour

_GUIDE = "https://docs.aws.amazon.com/efs/latest/ug"

BEHAVIOURS = (
    Behaviour(
        "A file system begins empty and belongs to root. What one instance writes, every other one reads; "
        "DeleteFileSystem deletes it all.",
        f"{_GUIDE}/creating-using-create-fs.html",
        "Mount targets by zone, policies, access points, throughput, backups, replication.",
    ),
    Behaviour(
        "An instance mounts it by the image's own automount, mount unit and tunnel. A stub of mount.nfs4 "
        "shows a folder of the host, because its kernel need not have NFS.",
        f"{_GUIDE}/mounting-fs.html",
        "The protocol, stalls, the cache of each host and locks between hosts.",
    ),
)
