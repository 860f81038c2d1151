"""Runs machines: systemd as process 1, on a disk made of layers, in a network namespace of their own.

A machine is a systemd-nspawn container. Its disk is an overlay: the layers of an image, and above them a
folder of its own. The overlay is mounted only in the mount namespace of the machine's processes, so it is
gone when they are, however they end. systemd-nspawn ends with status 0 when the machine powers itself off,
and with 133 when it reboots.

Left out: firmware, a kernel of its own (the host's is shared), block devices (there is one root filesystem
and no volume), its own clock, limits of memory and processors.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from rehearsal.errors import RehearsalError
from rehearsal.linux.cgroups import ControlGroup
from rehearsal.linux.mounts import PROPAGATE, bind_option, overlay_command, quote, remove_tree
from rehearsal.linux.network import RESOLV_CONF, Network
from rehearsal.linux.processes import Process, run
from rehearsal.region import Region
from rehearsal.waiting import wait_until

REBOOT = 133
"""Exit status of systemd-nspawn when the machine reboots (EXIT_FORCE_RESTART)."""
AUTOFS = Path("/dev/autofs")
"""The kernel's device for automounts (autofs(5)); machines have it where this host has it."""
POWEROFF = signal.SIGRTMIN + 4
"""The signal at which systemd as process 1 powers off (systemd(1))."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NSPAWN_ENVIRONMENT = {
    "PATH": PATH,
    "LANG": "C.UTF-8",
    # systemd 257 in the machine wants cgroup v2, also where the host's systemd 252 sees a hybrid hierarchy.
    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
    # The machine owns its network, so it may write /proc/sys/net; /sys is a tmpfs that files can be added to.
    "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
}


@dataclass(frozen=True)
class Attachments:
    """What a machine finds beside its disk."""

    files: dict[str, str] = field(default_factory=dict)
    """Content of read-only files by their absolute paths; executable if it begins with ``#!``."""
    folders: dict[str, str] = field(default_factory=dict)
    """Absolute paths in the machine by folders of this host, which the machine may write."""


@dataclass(frozen=True)
class Specification:
    """A machine's properties, kept in its folder as machine.json."""

    name: str
    address: str
    hostname: str
    layers: list[str]
    """Folders of the disk, from top to bottom."""
    mac: str | None = None
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    """Becomes /etc/machine-id of an image that has none."""
    files: dict[str, str] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    """As in Attachments."""


class Machine:
    """A machine, known by its name. Its folder remains after its processes; ``remove`` deletes both."""

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
        """Make the folder of a new machine, which is powered off.

        :raises RehearsalError: there is one with this name, or a layer is missing.
        """
        machine = cls(region, specification.name)
        if machine.folder.exists():
            raise RehearsalError(f"The machine {specification.name} exists already; remove it first.")
        missing = [layer for layer in specification.layers if not Path(layer).is_dir()]
        if missing:
            raise RehearsalError(
                f"The image of {specification.name} misses layers: {', '.join(missing)}. Bake it again."
            )
        for part in (machine.upper, machine.folder / "root"):
            part.mkdir(parents=True)
        machine._write(specification)
        return machine

    @property
    def specification(self) -> Specification:
        """The machine's properties.

        :raises RehearsalError: there is no such machine.
        """
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
        """File with the output of the machine's console."""
        return self.folder / "console.log"

    def start(self) -> subprocess.Popen[bytes]:
        """Boot the machine and return its systemd-nspawn process at once.

        ``wait_until_booted`` waits for systemd. The exit status of the process tells how the machine ended.

        :raises RehearsalError: the machine runs already.
        """
        if self.running():
            raise RehearsalError(f"{self.name} runs already.")
        self._group.end()
        specification = self.specification
        namespace = self.network.add_machine(self.name, IPv4Address(specification.address), specification.mac)
        remove_tree(self.folder / "work")
        (self.folder / "work").mkdir()
        for number, content in enumerate(specification.files.values()):
            path = self.folder / f"file-{number}"
            path.write_text(content)
            path.chmod(0o755 if content.startswith("#!") else 0o644)
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
        """A sentence for error messages: where to look when the machine does not do what it should."""
        return f"See `python -m rehearsal journal {self.name}`."

    def running(self) -> bool:
        """Return whether the machine's systemd-nspawn runs."""
        return Process.read(self._record) is not None

    def leader(self) -> int | None:
        """Return the process id, on the host, of the machine's process 1, or None if there is none."""
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
        """Return a command line that runs ``command`` inside the machine, for root on the host.

        :raises RehearsalError: the machine does not run.
        """
        leader = self.leader()
        if leader is None:
            raise RehearsalError(
                f"The machine {self.name} does not run; its console's output is in {self.console}."
            )
        enter = ["nsenter", f"--target={leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        clean = ["env", "-i", f"PATH={PATH}", "LANG=C.UTF-8", "HOME=/root", "TERM=xterm", "USER=root"]
        return [*enter, "--root", "--wd", "--", *clean, *command]

    def execute(
        self, command: Sequence[str], *, check: bool = True, timeout: float = 120, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside the machine, for at most ``timeout`` seconds, and return its output."""
        return run(self.inside(*command), check=check, timeout=timeout, text=text)

    def wait_until_booted(self, seconds: float = 60) -> str:
        """Wait until systemd has started everything, and return its state: ``running`` or ``degraded``.

        :raises RehearsalError: it has not within ``seconds``.
        """
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
        """Ask systemd to power off, and after ``seconds`` end the machine without it."""
        nspawn = Process.read(self._record)
        leader = self.leader()
        if nspawn is not None and leader is not None:
            process = Process.of(leader)
            if process is not None:
                process.send(POWEROFF)
            nspawn.wait(seconds)
        self.kill()

    def kill(self) -> None:
        """End every process of the machine at once and remove its network."""
        self._group.end()
        self.network.remove_machine(self.name)
        self._record.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            (PROPAGATE / self._label).rmdir()

    def freeze(self, seconds: float = 5) -> None:
        """Stop every process of a running machine; return when all have stopped.

        :raises RehearsalError: they have not within ``seconds``.
        """
        group = self._group.folders[0]
        (group / "cgroup.freeze").write_text("1")
        events = group / "cgroup.events"
        wait_until(f"{self.name} is frozen", lambda: "frozen 1" in events.read_text(), seconds, every=0.001)

    def thaw(self) -> None:
        """Let a frozen machine continue. No effect on one that is not frozen, or off."""
        frozen = self._group.folders[0] / "cgroup.freeze"
        if frozen.exists():
            frozen.write_text("0")

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze a running machine for the time of the block: it writes nothing meanwhile."""
        try:
            self.freeze()
            yield
        finally:
            self.thaw()

    def snapshot(self, target: Path) -> list[Path]:
        """Save the disk as a new layer at ``target``, and return the layers of an image of it.

        A stopped machine's own layer is moved there, and the machine gets an empty one above it, which takes
        no time. A running machine's is copied as it is; `frozen` keeps it as it was at one moment.
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
        """End the machine at once and delete its disk."""
        self.kill()
        remove_tree(self.folder)

    def _write(self, specification: Specification) -> None:
        (self.folder / "machine.json").write_text(json.dumps(asdict(specification), indent=2) + "\n")

    def _script(self, namespace: Path) -> str:
        """Return the script that mounts the overlay, writes the resolver and becomes systemd-nspawn."""
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
            # Without the device, systemd calls every automount unsupported.
            *([f"--bind={AUTOFS}"] if AUTOFS.exists() else []),
            *(
                bind_option(self.folder / f"file-{number}", path)
                for number, path in enumerate(specification.files)
            ),
            *(
                bind_option(Path(folder), path, writable=True)
                for folder, path in specification.folders.items()
            ),
        ]
        resolver = quote(root / "etc/resolv.conf")
        servers = shlex.join(["printf", r"%s\n", *RESOLV_CONF.splitlines()])
        return (
            self._group.join_commands()
            + overlay_command(layers, self.upper, self.folder / "work", root)
            + f"\nrm -f {resolver}\n{servers} > {resolver}\n"
            + f"exec {shlex.join(nspawn)}\n"
        )


def machines(region: Region) -> list[Machine]:
    """Return the machines of a rehearsal, running or not."""
    if not region.machines.is_dir():
        return []
    return [Machine(region, folder.name) for folder in sorted(region.machines.iterdir()) if folder.is_dir()]
