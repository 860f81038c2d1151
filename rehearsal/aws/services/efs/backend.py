"""Emulates EFS: moto's API and records, with a folder of this host behind each file system.

CreateFileSystem makes an empty folder that belongs to root, and DeleteFileSystem deletes it, as documented.
Machines of images with nfs-common see all folders below a path that only root may enter, and a stub of
the program that mounts (``mount_nfs``): the kernel of this host need not have NFS. So the automount, the
mount unit and the TLS tunnel's socket of an instance are the real ones, and what one instance writes another
reads.
Source: the EFS user guide, "Creating EFS file systems", "Mounting EFS file systems".

Left out: the protocol itself and so what happens when it stalls (``softerr``), the tunnel's other end, the
cache of each host and locks between hosts (one kernel has both), mount targets by zone, file system policies,
access points, throughput, backups, replication.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from moto.efs import urls
from moto.efs.models import EFSBackend, FileSystem

from rehearsal.aws.services.patching import Moto
from rehearsal.linux.machine import Attachments
from rehearsal.linux.mounts import remove_tree
from rehearsal.region import Region

HELPER = "/usr/sbin/mount.nfs"
"""The program of nfs-common that mount(8) calls for the types nfs and nfs4."""
SHOWN = "/sys/hypervisor/efs"
"""Where a machine sees the folders: beside what else EC2 shows an instance there, and in no image."""


class EmulatedEFS(EFSBackend):
    """EFS in one AWS region."""

    region: Region

    @property
    def _url_module(self) -> Moto:
        """moto looks for a service's URLs beside the backend's module, which is not true of this one."""
        return urls

    def create_file_system(self, *args: Moto, **options: Moto) -> FileSystem:
        """Record a file system and make its folder."""
        made = super().create_file_system(*args, **options)
        (folder(self.region) / str(made.file_system_id)).mkdir(mode=0o755)
        return made

    def delete_file_system(self, file_system_id: str) -> None:
        """Delete the record and the folder with all that is in it."""
        super().delete_file_system(file_system_id)
        remove_tree(folder(self.region) / file_system_id)


def folder(region: Region) -> Path:
    """The folder with one folder for each file system; only root may enter it."""
    found = region.run / "efs"
    found.mkdir(mode=0o700, parents=True, exist_ok=True)
    return found


def attachments(region: Region, layers: Sequence[str]) -> Attachments:
    """What a machine finds of EFS: nothing if its image cannot mount NFS.

    :param layers: folders of the machine's disk.
    """
    if not any((Path(layer) / HELPER.lstrip("/")).exists() for layer in layers):
        return Attachments()
    helper = (Path(__file__).parent / "mount_nfs.py").read_text(encoding="utf-8")
    return Attachments(files={HELPER: helper}, folders={str(folder(region)): SHOWN})
