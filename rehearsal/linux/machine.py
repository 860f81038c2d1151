"""Plays a computer: systemd as process 1 on a disk made of layers, in a network namespace of its own.

A machine is a systemd-nspawn container. Its disk is an overlay: the layers of an image below, a folder of its
own above. That mount exists only in the mount namespace of the machine's own processes, so it is gone when
they are, however they end. A machine that powers itself off ends its nspawn with status 0; one that reboots,
with 133.

Left out: firmware, a kernel of its own (the host's is shared), block devices (there is one root file system
and no EBS volume), clock, limits of memory and processors.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import signal
import subprocess
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from rehearsal.errors import RehearsalError
from rehearsal.linux.addresses import DNS
from rehearsal.linux.cgroups import ControlGroup
from rehearsal.linux.network import Network
from rehearsal.linux.processes import Process, run
from rehearsal.linux.rootfs import PROPAGATE, overlay_command, remove_tree
from rehearsal.region import Region

REBOOT = 133
"""Status of nspawn (EXIT_FORCE_RESTART) when the machine asked for a reboot."""
POWEROFF = signal.SIGRTMIN + 4
"""What systemd as process 1 takes for `systemctl poweroff` (systemd(1))."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NSPAWN_ENVIRONMENT = {
    "PATH": PATH,
    "LANG": "C.UTF-8",
    # systemd 257 in the machine wants cgroup v2, also where the host's systemd 252 sees a hybrid hierarchy.
    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
    # The machine has a network of its own: /proc/sys/net is its to write, and /sys a tmpfs we can add to.
    "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
}


@dataclass(frozen=True)
class Specification:
    """What a machine is made of; kept in its folder as machine.json."""

    name: str
    address: str
    hostname: str
    layers: list[str]
    """Folders from top to bottom."""
    mac: str | None = None
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    """Becomes /etc/machine-id of an image that has none."""


class Machine:
    """One machine by its name. The folder outlives the processes; ``remove`` takes both."""

    def __init__(self, region: Region, name: str) -> None:
        self.region = region
        self.name = name
        self.folder = region.machines / name
        self.upper = self.folder / "upper"
        self.network = Network(region)
        self._group = ControlGroup(region, f"machine-{name}")
        self._label = region.machine_namespace(name)
        self._record = self.folder / "nspawn.json"

    @classmethod
    def create(cls, region: Region, specification: Specification) -> Machine:
        """Make the folder of a new machine; nothing runs yet."""
        machine = cls(region, specification.name)
        if machine.folder.exists():
            raise RehearsalError(f"A machine {specification.name} exists already; remove it first.")
        missing = [layer for layer in specification.layers if not Path(layer).is_dir()]
        if missing:
            raise RehearsalError(
                f"The image of {specification.name} has lost its layers {', '.join(missing)}."
            )
        for part in (machine.upper, machine.folder / "root"):
            part.mkdir(parents=True)
        machine._write(specification)
        return machine

    @property
    def specification(self) -> Specification:
        """What the machine is made of."""
        try:
            return Specification(**json.loads((self.folder / "machine.json").read_text()))
        except OSError as missing:
            raise RehearsalError(
                f"There is no machine {self.name}; `python -m rehearsal status` lists them."
            ) from missing

    @property
    def address(self) -> IPv4Address:
        """The private address."""
        return IPv4Address(self.specification.address)

    @property
    def console(self) -> Path:
        """The log of the machine's console."""
        return self.folder / "console.log"

    def start(self) -> subprocess.Popen[bytes]:
        """Boot the machine and return its nspawn process, whose status tells how the machine ended.

        Returns at once; ``wait_until_booted`` waits for systemd.
        """
        if self.running():
            raise RehearsalError(f"{self.name} runs already.")
        self._group.end()
        specification = self.specification
        namespace = self.network.add_machine(self.name, IPv4Address(specification.address), specification.mac)
        remove_tree(self.folder / "work")
        (self.folder / "work").mkdir()
        # cloud-init knows EC2 by this file, or by DMI, which it does not read in a container.
        (self.folder / "hypervisor-uuid").write_text("ec2" + specification.uuid[3:] + "\n")
        with self.console.open("ab") as console:
            started = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "slave", "sh", "-ec", self._script(namespace)],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
                env=NSPAWN_ENVIRONMENT,
            )
        process = Process.of(started.pid)
        if process is not None:
            process.write(self._record)
        return started

    @property
    def hint(self) -> str:
        """Where to look when something on the machine does not happen."""
        return f"See `python -m rehearsal journal {self.name}`."

    def running(self) -> bool:
        """Whether the machine's nspawn runs."""
        return Process.read(self._record) is not None

    def leader(self) -> int | None:
        """Id, on the host, of the machine's process 1; None before it exists and after it ended."""
        nspawn = Process.read(self._record)
        if nspawn is None:
            return None
        for pid in sorted(self._group.processes() - {nspawn.pid}):
            try:
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            except OSError:
                continue
            namespaced = next(line.split() for line in lines if line.startswith("NSpid:"))
            if len(namespaced) == 3 and namespaced[2] == "1":
                return pid
        return None

    def inside(self, *command: str) -> list[str]:
        """The given command, to be run inside the machine by root of the host."""
        leader = self.leader()
        if leader is None:
            raise RehearsalError(f"{self.name} does not run; its console's log is {self.console}.")
        enter = ["nsenter", f"--target={leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        clean = ["env", "-i", f"PATH={PATH}", "LANG=C.UTF-8", "HOME=/root", "TERM=xterm", "USER=root"]
        return [*enter, "--root", "--wd", "--", *clean, *command]

    def execute(
        self, command: Sequence[str], *, check: bool = True, timeout: float = 120, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside the machine and return its output."""
        return run(self.inside(*command), check=check, timeout=timeout, text=text)

    def wait_until_booted(self, seconds: float = 60) -> str:
        """Wait until systemd has started everything; its verdict: ``running`` or ``degraded``."""
        deadline = time.monotonic() + seconds
        state = "not started"
        while time.monotonic() < deadline:
            if self.leader() is not None:
                asked = self.execute(["systemctl", "is-system-running"], check=False, timeout=seconds)
                state = asked.stdout.strip() or state
                if state in ("running", "degraded"):
                    return state
            time.sleep(0.1)
        raise RehearsalError(
            f"{self.name} has not booted within {seconds:.0f} s ({state}); see {self.console} and "
            f"`python -m rehearsal journal {self.name}`."
        )

    def stop(self, seconds: float = 60) -> None:
        """Power the machine off as EC2's stop does: ask systemd, and after ``seconds`` cut the power."""
        nspawn = Process.read(self._record)
        leader = self.leader()
        if nspawn is not None and leader is not None:
            process = Process.of(leader)
            if process is not None:
                process.send(POWEROFF)
            nspawn.wait(seconds)
        self.kill()

    def kill(self) -> None:
        """Cut the power: end every process of the machine, and take its network away."""
        self._group.end()
        self.network.remove_machine(self.name)
        self._record.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            (PROPAGATE / self._label).rmdir()

    def snapshot(self, target: Path) -> list[Path]:
        """Freeze the disk into a new layer at ``target`` and return the layers of an image with it.

        A stopped machine's own layer is moved there and the machine goes on with an empty one above it, which
        costs nothing. Of a running machine it is copied as it is.
        """
        specification = self.specification
        layers = [target, *(Path(layer) for layer in specification.layers)]
        target.parent.mkdir(parents=True, exist_ok=True)
        if self.running():
            run(["cp", "-a", self.upper, target], timeout=600)
            return layers
        self.upper.rename(target)
        self.upper.mkdir()
        self._write(Specification(**asdict(specification) | {"layers": [str(layer) for layer in layers]}))
        return layers

    def remove(self) -> None:
        """Cut the power and delete the disk."""
        self.kill()
        remove_tree(self.folder)

    def _write(self, specification: Specification) -> None:
        (self.folder / "machine.json").write_text(json.dumps(asdict(specification), indent=2) + "\n")

    def _script(self, namespace: Path) -> str:
        """What runs in the machine's mount namespace: the overlay, the resolver, then nspawn in its place."""
        specification = self.specification
        root = self.folder / "root"
        layers = [Path(layer) for layer in specification.layers]
        nspawn = [
            "systemd-nspawn",
            "--quiet",
            "--boot",
            "--register=no",
            "--keep-unit",
            "--console=pipe",
            "--link-journal=no",
            "--resolv-conf=off",
            "--timezone=off",
            f"--directory={root}",
            f"--machine={self._label}",
            f"--hostname={specification.hostname}",
            f"--uuid={specification.uuid}",
            f"--network-namespace-path={namespace}",
            # An instance may set up its own firewall and network, and systemd filter addresses by BPF.
            "--capability=CAP_NET_ADMIN,CAP_BPF,CAP_PERFMON",
            "--system-call-filter=bpf",
            f"--bind-ro={self.folder / 'hypervisor-uuid'}:/sys/hypervisor/uuid",
        ]
        return (
            self._group.join_commands()
            + overlay_command(layers, self.upper, self.folder / "work", root)
            + f"\nrm -f '{root}/etc/resolv.conf'\necho 'nameserver {DNS}' > '{root}/etc/resolv.conf'\n"
            + f"exec {shlex.join(nspawn)}\n"
        )


def machines(region: Region) -> list[Machine]:
    """The machines of a rehearsal, running or not."""
    if not region.machines.is_dir():
        return []
    return [Machine(region, folder.name) for folder in sorted(region.machines.iterdir()) if folder.is_dir()]
