"""Plays the official Debian 13 AMI: a root file system with systemd, sshd and cloud-init.

Like Debian's own image it creates the user ``admin`` (sudo without a password, the key of the launch) through
cloud-init's Ec2 data source. The certificates in the host's /usr/local/share/ca-certificates are added, so
that a machine behind an intercepting proxy works. A root is kept below ``build/rehearsal/base/`` under the
hash of its recipe and never changes; nothing in it is secret.

Left out: kernel, boot loader, partitions, the growing of the root volume, DHCP (the address is set before the
boot), unattended upgrades, manual pages and translations.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from rehearsal.errors import RehearsalError
from rehearsal.linux.cgroups import ControlGroup
from rehearsal.linux.processes import run
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
PROPAGATE = Path("/run/systemd/nspawn/propagate")
"""nspawn's folder for mounts pushed into a container; it stays behind where /run is no tmpfs."""
MIRROR = "http://deb.debian.org"

BUILD_TIMEOUT = 900
"""Seconds for a root or a layer: packages over a slow line."""

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
    """Debian's name of this machine's architecture."""
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    machine = platform.machine()
    if machine not in names:
        raise RehearsalError(f"Airkiln has no image for {machine}; it knows {', '.join(names)}.")
    return names[machine]


def sources(mirror: str = MIRROR) -> list[str]:
    """The three lines of a Debian stable machine's package sources."""
    return [
        f"deb {mirror}/debian {SUITE} main",
        f"deb {mirror}/debian {SUITE}-updates main",
        f"deb {mirror}/debian-security {SUITE}-security main",
    ]


def recipe_hash(certificates: Path = LOCAL_CERTIFICATES) -> str:
    """Twelve hex digits that change whenever the root would be built differently."""
    digest = hashlib.sha256()
    local = sorted(certificates.glob("*.crt")) if certificates.is_dir() else []
    parts = [architecture(), *PACKAGES, *sources(), CLOUD_CONFIG, CUSTOMIZE]
    for part in [*(part.encode() for part in parts), *(path.read_bytes() for path in local)]:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:12]


def base_layer(region: Region) -> Path:
    """Where the base image of today's recipe lies, built or not."""
    return region.cache / "base" / recipe_hash()


def build_base(region: Region) -> Path:
    """Build the base image unless it is there, and return its folder. Takes 20 to 60 s and the network.

    Its log is ``logs/base.log``. Raises RehearsalError naming that log when it fails.
    """
    done = base_layer(region)
    if done.is_dir():
        return done
    with _alone(region):
        if not done.is_dir():
            _debootstrap(region, done)
    return done


def _debootstrap(region: Region, done: Path) -> None:
    if shutil.which("mmdebstrap") is None:
        raise RehearsalError(
            "mmdebstrap is not installed; `apt-get install` what rehearsal/debian-packages.txt lists."
        )
    if not KEYRING.exists():
        raise RehearsalError(f"{KEYRING} is missing; `apt-get install debian-archive-keyring`.")
    done.parent.mkdir(parents=True, exist_ok=True)
    unfinished = done.with_suffix(".unfinished")
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
        f'--customize-hook=sh {hook} "$1"',
        SUITE,
        str(unfinished),
        "-",
    ]
    environment = os.environ | {"CLOUD_CONFIG": CLOUD_CONFIG, "CERTIFICATES": str(LOCAL_CERTIFICATES)}
    environment["TMPDIR"] = str(region.run)
    _logged(region, command, region.logs / "base.log", environment, "\n".join(sources()) + "\n")
    unfinished.rename(done)


@contextlib.contextmanager
def _alone(region: Region) -> Iterator[None]:
    """Two rehearsals of one checkout may want the same root: the second waits for the first."""
    region.prepare()
    region.cache.mkdir(parents=True, exist_ok=True)
    with (region.cache / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build_layer(region: Region, name: str, script: str) -> list[Path]:
    """Build a layer on the base image by a shell script run in it as root, unless it is there.

    Returns the layers from top to bottom. The script has the host's network and no running systemd, so it may
    install packages but start nothing. Its log is ``logs/<name>.log``.
    """
    base = build_base(region)
    key = hashlib.sha256(f"{base.name}\n{script}".encode()).hexdigest()[:12]
    done = region.cache / "layers" / f"{name}-{key}"
    if not done.is_dir():
        with _alone(region):
            if not done.is_dir():
                _run_in_layer(region, name, base, done, script)
    return [done, base]


def _run_in_layer(region: Region, name: str, base: Path, done: Path, script: str) -> None:
    done.parent.mkdir(parents=True, exist_ok=True)
    unfinished = done.with_suffix(".unfinished")
    remove_tree(unfinished)
    for part in ("upper", "work", "root"):
        (unfinished / part).mkdir(parents=True)
    inside = region.run / f"layer-{name}.sh"
    inside.write_text("set -eu\n" + script)
    label = f"{region.namespace}-build-{name}"
    mount = overlay_command([base], unfinished / "upper", unfinished / "work", unfinished / "root")
    outside = f"""
{mount}
systemd-nspawn --quiet --register=no --keep-unit --machine='{label}' --pipe --timezone=off \\
    --resolv-conf=copy-host \\
    --directory='{unfinished}/root' --bind-ro='{inside}:/run/layer.sh' \\
    --setenv=DEBIAN_FRONTEND=noninteractive /bin/sh /run/layer.sh </dev/null
rmdir '{PROPAGATE}/{label}' 2>/dev/null || true
"""
    command = ["sh", "-ec", outside]
    _logged(region, command, region.logs / f"{name}.log", dict(os.environ))
    (unfinished / "upper" / "etc" / "resolv.conf").unlink(missing_ok=True)
    (unfinished / "upper").rename(done)
    remove_tree(unfinished)


def overlay_command(layers: list[Path], upper: Path, work: Path, target: Path) -> str:
    """The mount command of an overlay; layers from top to bottom.

    ``volatile`` leaves out fsync: after a crash of the host a machine's disk is lost, which is what its owner
    would do with it anyway. ``redirect_dir`` lets programs rename folders that came with the image.
    """
    lower = ":".join(str(layer) for layer in layers)
    options = f"lowerdir={lower},upperdir={upper},workdir={work},redirect_dir=on,index=off,volatile"
    return f"mount -t overlay overlay -o '{options}' '{target}'"


def remove_tree(path: Path) -> None:
    """Remove a folder of ours with all that is in it, but never across a mount."""
    if path.exists():
        run(["rm", "-rf", "--one-file-system", path], timeout=300)
    if path.exists():
        shutil.rmtree(path)


def _logged(region: Region, command: list[str], log: Path, env: dict[str, str], text: str = "") -> None:
    """Run a long command, its mounts in a namespace of its own and its processes where ``down`` ends them."""
    group = ControlGroup(region, "build")
    script = group.join_commands() + 'exec "$@"\n'
    apart = ["unshare", "--mount", "--propagation", "slave", "sh", "-ec", script, "sh", *command]
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                apart,
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
