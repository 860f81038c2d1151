"""Builds the root filesystem of machines, Debian 13 with systemd, sshd and cloud-init, and layers above it.

It is made as Debian makes its cloud images: cloud-init's Ec2 data source creates the user ``admin``, with
sudo without a password and the key of the launch. The certificates in the host's
/usr/local/share/ca-certificates are added, so that machines work behind an intercepting proxy. A root
filesystem is kept in ``build/rehearsal/rootfs/``, under the hash of its recipe; it never changes, and nothing
in it is secret.

Left out: kernel, boot loader, partitions, growing the root volume, DHCP (the address is set before the boot),
unattended upgrades, manual pages and translations.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from rehearsal.errors import RehearsalError
from rehearsal.linux.cgroups import ControlGroup
from rehearsal.linux.mounts import PROPAGATE, bind_option, overlay_command, quote, remove_tree
from rehearsal.region import Region

SUITE = "trixie"
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "libpam-systemd",
    "openssh-server",
    "cloud-init",
    "sudo",
    "python3",
    "iproute2",
    "iputils-ping",
    "procps",
    "netbase",
    "tzdata",
    "ca-certificates",
    "curl",
    "less",
)
LOCAL_CERTIFICATES = Path("/usr/local/share/ca-certificates")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRROR = "http://deb.debian.org"

BUILD_TIMEOUT = 900
"""Seconds for a root filesystem or a layer: enough for packages over a slow line."""

CLOUD_CONFIG = """\
# The Ec2 data source only, and no network configuration: the address is there before the boot.
datasource_list: [Ec2]
datasource:
  Ec2:
    strict_id: false
    timeout: 5
    max_wait: 60
network: {config: disabled}
manage_etc_hosts: true
growpart: {mode: "off"}
resize_rootfs: false
system_info:
  # There is no DHCP, and a client that is not installed gives up at once; cloud-init goes on over IPv6.
  network: {dhcp_client_priority: [udhcpc]}
  default_user:
    name: admin
    gecos: Debian
    lock_passwd: true
    sudo: ["ALL=(ALL) NOPASSWD:ALL"]
    shell: /bin/bash
"""

CUSTOMIZE = """\
set -eu
root="$1"
mkdir -p "$root/etc/cloud/cloud.cfg.d"
printf '%s' "$CLOUD_CONFIG" > "$root/etc/cloud/cloud.cfg.d/10_debian_cloud.cfg"
if [ -d "$CERTIFICATES" ]; then
    cp "$CERTIFICATES"/*.crt "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
    chroot "$root" update-ca-certificates
fi
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/hostname" "$root/etc/fstab" "$root/var/lib/dbus/machine-id"
: > "$root/etc/machine-id"
# There is no console to log in on, and no device nodes for udev.
systemctl --root="$root" --quiet mask console-getty.service getty.target systemd-networkd-wait-online.service
systemctl --root="$root" --quiet disable systemd-networkd.service 2>/dev/null || true
"""


def architecture() -> str:
    """Return Debian's name of this machine's architecture.

    :raises RehearsalError: Airkiln has no image for it.
    """
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    machine = platform.machine()
    if machine not in names:
        raise RehearsalError(f"Airkiln has no image for {machine}, only for {', '.join(names)}.")
    return names[machine]


def sources(mirror: str = MIRROR) -> list[str]:
    """Return the package sources of a Debian stable system, in the format of sources.list."""
    return [
        f"deb {mirror}/debian {SUITE} main",
        f"deb {mirror}/debian {SUITE}-updates main",
        f"deb {mirror}/debian-security {SUITE}-security main",
    ]


def recipe_hash(certificates: Path = LOCAL_CERTIFICATES) -> str:
    """Return twelve hexadecimal digits that change with everything that goes into the root filesystem."""
    digest = hashlib.sha256()
    local = sorted(certificates.glob("*.crt")) if certificates.is_dir() else []
    parts = [architecture(), *PACKAGES, *sources(), CLOUD_CONFIG, CUSTOMIZE]
    for part in [*(part.encode() for part in parts), *(path.read_bytes() for path in local)]:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:12]


def rootfs_folder(region: Region) -> Path:
    """Return the folder of the root filesystem with the present recipe, built or not."""
    return region.cache / "rootfs" / recipe_hash()


def build_rootfs(region: Region) -> Path:
    """Build the root filesystem unless it is there, and return its folder.

    It takes 20 to 60 s and the network. The log is ``logs/rootfs.log``.

    :raises RehearsalError: the build failed; the message names the log.
    """
    folder = rootfs_folder(region)
    if folder.is_dir():
        return folder
    with _build_lock(region):
        if not folder.is_dir():
            _debootstrap(region, folder)
    return folder


def _debootstrap(region: Region, folder: Path) -> None:
    if shutil.which("mmdebstrap") is None:
        raise RehearsalError(
            "mmdebstrap is not installed; `apt-get install` what rehearsal/debian-packages.txt lists."
        )
    if not KEYRING.exists():
        raise RehearsalError(f"{KEYRING} is missing; `apt-get install debian-archive-keyring`.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_suffix(".unfinished")
    remove_tree(unfinished)
    hook = region.run / "customize.sh"
    hook.write_text(CUSTOMIZE)
    command = [
        "mmdebstrap",
        "--mode=root",
        "--format=directory",
        "--variant=minbase",
        f"--architectures={architecture()}",
        f"--keyring={KEYRING}",
        f"--include={','.join(PACKAGES)}",
        '--aptopt=Acquire::Languages "none"',
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        f'--customize-hook=sh {quote(hook)} "$1"',
        SUITE,
        str(unfinished),
        "-",
    ]
    environment = os.environ | {"CLOUD_CONFIG": CLOUD_CONFIG, "CERTIFICATES": str(LOCAL_CERTIFICATES)}
    environment["TMPDIR"] = str(region.run)
    _run_logged(region, command, region.logs / "rootfs.log", environment, "\n".join(sources()) + "\n")
    unfinished.rename(folder)


@contextlib.contextmanager
def _build_lock(region: Region) -> Iterator[None]:
    """Let one rehearsal of this checkout build at a time; the others wait."""
    region.prepare()
    region.cache.mkdir(parents=True, exist_ok=True)
    with (region.cache / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build_layer(region: Region, name: str, script: str) -> list[Path]:
    """Build a layer above the root filesystem with a shell script, unless it is there.

    The script runs as root, with the host's network and without systemd: it may install packages and start
    nothing. Its log is ``logs/<name>.log``.

    :returns: the layers from top to bottom.
    :raises RehearsalError: the script failed; the message names the log.
    """
    rootfs = build_rootfs(region)
    key = hashlib.sha256(f"{rootfs.name}\n{script}".encode()).hexdigest()[:12]
    layer = region.cache / "layers" / f"{name}-{key}"
    if not layer.is_dir():
        with _build_lock(region):
            if not layer.is_dir():
                _run_in_layer(region, name, rootfs, layer, script)
    return [layer, rootfs]


def _run_in_layer(region: Region, name: str, rootfs: Path, layer: Path, script: str) -> None:
    layer.parent.mkdir(parents=True, exist_ok=True)
    unfinished = layer.with_suffix(".unfinished")
    remove_tree(unfinished)
    for part in ("upper", "work", "root"):
        (unfinished / part).mkdir(parents=True)
    script_file = region.run / f"layer-{name}.sh"
    script_file.write_text("set -eu\n" + script)
    label = f"{region.namespace}-build-{name}"
    nspawn = [
        "systemd-nspawn",
        "--quiet",
        "--register=no",
        "--keep-unit",
        "--pipe",
        "--timezone=off",
        "--resolv-conf=copy-host",
        f"--machine={label}",
        f"--directory={unfinished / 'root'}",
        bind_option(script_file, "/run/layer.sh"),
        "--setenv=DEBIAN_FRONTEND=noninteractive",
        "/bin/sh",
        "/run/layer.sh",
    ]
    commands = [
        overlay_command([rootfs], unfinished / "upper", unfinished / "work", unfinished / "root"),
        f"{shlex.join(nspawn)} </dev/null",
        f"rmdir {quote(PROPAGATE / label)} 2>/dev/null || true",
    ]
    _run_logged(region, ["sh", "-ec", "\n".join(commands)], region.logs / f"{name}.log", dict(os.environ))
    (unfinished / "upper" / "etc" / "resolv.conf").unlink(missing_ok=True)
    (unfinished / "upper").rename(layer)
    remove_tree(unfinished)


def _run_logged(region: Region, command: list[str], log: Path, env: dict[str, str], text: str = "") -> None:
    """Run a long command in a mount namespace of its own, and in a control group that ``down`` ends."""
    group = ControlGroup(region, "build")
    script = group.join_commands() + 'exec "$@"\n'
    isolated = ["unshare", "--mount", "--propagation", "slave", "sh", "-ec", script, "sh", *command]
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                isolated,
                check=False,
                input=text.encode(),
                stdout=output,
                stderr=output,
                env=env,
                timeout=BUILD_TIMEOUT,
            )
        except subprocess.TimeoutExpired as late:
            raise RehearsalError(f"{command[0]} did not end within {BUILD_TIMEOUT} s; see {log}.") from late
        finally:
            group.end()
    if done.returncode != 0:
        tail = log.read_text(errors="replace").splitlines()[-5:]
        raise RehearsalError(
            f"{command[0]} failed with status {done.returncode}; see {log}:\n" + "\n".join(tail)
        )
