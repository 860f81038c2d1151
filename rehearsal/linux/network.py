"""The network of a rehearsal: a bridge in a network namespace, an uplink, and a namespace for every machine.

The host keeps its addresses, routes, firewall rules and sysctls. Everything is inside namespaces, and the
uplink is slirp4netns, a process in user space. Machines reach each other, the services on the bridge, and the
internet. Ports are opened on the host at 127.0.0.1 only.

The bridge's ports are isolated: no frame passes from one machine to another. The bridge itself answers when a
machine asks for the hardware address of another (``proxy_arp_pvlan``) and routes the packet, so that all of
them pass the hook ``forward`` of this one namespace, with connection tracking (``packet_filter``). A filter
on the bridge would need a module for connections on bridges (nf_conntrack_bridge), which not every kernel
has; one in a machine's own namespace could be removed by root on the machine.

Left out: subnets as separate networks, public addresses, IPv6. The host's loopback device cannot be reached
from inside.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address
from pathlib import Path

from rehearsal.errors import RehearsalError
from rehearsal.linux.addresses import DNS, ENDPOINT, GATEWAY, METADATA, MTU, NETWORK, RESOLVER, UPLINK
from rehearsal.linux.cgroups import ControlGroup
from rehearsal.linux.processes import Process, run
from rehearsal.region import Region

BRIDGE = "akbr0"
BRIDGE_MAC = "02:42:0a:2a:00:01"
"""Fixed: a bridge otherwise takes over the lowest of its ports' addresses. That changes as ports come and go,
and machines that have cached the old one lose their default route for seconds."""
UPLINK_DEVICE = "tap0"
UPLINK_ADDRESS = IPv4Address(int(UPLINK.network_address) + 100)
NETNS = Path("/run/netns")
CLONE_NEWNET = 0x40000000

RESOLV_CONF = f"nameserver {RESOLVER}\nnameserver {DNS}\n"
"""Of commands and machines. Where nobody serves at the first address, the second is asked at once."""

RULES = f"""
table ip airkiln {{
    chain in {{ type nat hook prerouting priority dstnat; }}
    chain out {{ type nat hook postrouting priority srcnat; oifname "{UPLINK_DEVICE}" masquerade; }}
}}
"""

SYSCTLS = (
    "net.ipv4.ip_forward=1",
    f"net.ipv4.conf.{BRIDGE}.proxy_arp_pvlan=1",
    f"net.ipv4.neigh.{BRIDGE}.proxy_delay=0",
    "net.ipv4.conf.all.send_redirects=0",
    f"net.ipv4.conf.{BRIDGE}.send_redirects=0",
    # A machine that was frozen, or lost packets, goes on with its connections at any sequence number.
    "net.netfilter.nf_conntrack_tcp_be_liberal=1",
    # Where the kernel hands bridged packets to the rules of IP too, routed ones would meet them twice.
    "net.bridge.bridge-nf-call-iptables=0",
)
"""Of the region's namespace alone. Not every kernel has the last one."""


class Network:
    """The network of one rehearsal. Every method is idempotent."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self.namespace = region.namespace
        self._slirp = region.run / "slirp4netns.json"
        self._socket = region.run / "slirp4netns.sock"
        self._forwards = region.run / "forwards.json"
        self._made_netns = region.cache / "made-run-netns"

    def exists(self) -> bool:
        """Return whether the region's namespace exists and its uplink runs."""
        return (NETNS / self.namespace).exists() and Process.read(self._slirp) is not None

    def setup(self) -> None:
        """Make the bridge, its addresses and the uplink, unless they exist."""
        if self.exists():
            return
        self.teardown()
        self.region.prepare()
        (self.region.run / "resolv.conf").write_text(RESOLV_CONF)
        self._add_namespace(self.namespace)
        self._ip(
            self.namespace,
            "link set lo up",
            f"link add {BRIDGE} type bridge forward_delay 0",
            f"link set {BRIDGE} address {BRIDGE_MAC} mtu {MTU} up",
            f"address add {GATEWAY}/{NETWORK.prefixlen} dev {BRIDGE}",
            f"address add {ENDPOINT}/{NETWORK.prefixlen} dev {BRIDGE}",
            f"address add {METADATA}/32 dev {BRIDGE}",
            f"address add {RESOLVER}/32 dev {BRIDGE}",
        )
        self._start_slirp()
        self.apply(RULES)
        run(self.inside("sysctl", "-e", "-q", "-w", *SYSCTLS))

    def teardown(self) -> None:
        """Remove the namespaces of the region and of its machines, with all devices and rules in them."""
        ControlGroup(self.region, "slirp4netns").end()
        for path in (self._slirp, self._socket, self._forwards):
            path.unlink(missing_ok=True)
        for name in self.machine_namespaces():
            run(["ip", "netns", "delete", name], check=False)
        if (NETNS / self.namespace).exists():
            run(["ip", "netns", "delete", self.namespace])
        self._remove_run_netns()

    def inside(self, *command: str | Path) -> list[str]:
        """Return a command line that runs ``command`` in the region's network."""
        return ["nsenter", f"--net={NETNS / self.namespace}", *(str(word) for word in command)]

    def enter(self) -> None:
        """Move the calling thread into the region's network."""
        enter_network(NETNS / self.namespace)

    @contextlib.contextmanager
    def visit(self) -> Iterator[None]:
        """Keep the calling thread in the region's network for the duration of the block."""
        own = Path(f"/proc/self/task/{threading.get_native_id()}/ns/net")
        with own.open("rb") as home:
            self.enter()
            try:
                yield
            finally:
                enter_network(Path(f"/proc/self/fd/{home.fileno()}"))

    def machine_namespaces(self) -> list[str]:
        """Return the names of the namespaces of this rehearsal's machines."""
        if not NETNS.is_dir():
            return []
        prefix = self.region.machine_namespace("")
        return sorted(entry.name for entry in NETNS.iterdir() if entry.name.startswith(prefix))

    def add_machine(self, machine: str, address: IPv4Address, mac: str | None = None) -> Path:
        """Make a namespace with one interface ``eth0`` on the bridge, and return the namespace's path.

        An address outside 10.42.0.0/16 gets a route of its own.
        """
        name = self.region.machine_namespace(machine)
        self.remove_machine(machine)
        self._add_namespace(name)
        port = port_name(machine)
        hardware = f"address {mac}" if mac else ""
        self._ip(
            self.namespace,
            f"link add {port} mtu {MTU} type veth peer name eth0 mtu {MTU} {hardware} netns {name}",
            f"link set {port} master {BRIDGE} up",
            f"link set {port} type bridge_slave isolated on",
        )
        on_link = address in NETWORK
        # An address is given to the next machine soon after its last one has gone. Peers have cached the old
        # hardware address; with arp_notify the new machine announces its own when the link comes up.
        run(["nsenter", f"--net={NETNS / name}", "sysctl", "-q", "-w", "net.ipv4.conf.eth0.arp_notify=1"])
        self._ip(
            name,
            "link set lo up",
            f"address add {address}/{NETWORK.prefixlen if on_link else 32} dev eth0",
            "link set eth0 up",
            *([] if on_link else [f"route add {GATEWAY} dev eth0"]),
            f"route add default via {GATEWAY}",
        )
        if not on_link:
            self._ip(self.namespace, f"route replace {address}/32 dev {BRIDGE}")
        return NETNS / name

    def set_further_addresses(self, machine: str, addresses: Sequence[IPv4Address]) -> None:
        """Give a machine of 10.42.0.0/16 these addresses beside its own, in place of earlier further ones."""
        name = self.region.machine_namespace(machine)
        shown = json.loads(run(["ip", "-n", name, "-json", "-4", "address", "show", "dev", "eth0"]).stdout)
        present = {each["local"] for each in shown[0]["addr_info"] if each["prefixlen"] == 32}
        wanted = [str(address) for address in addresses]
        self._ip(
            name,
            *(f"address delete {address}/32 dev eth0" for address in present.difference(wanted)),
            *(f"address replace {address}/32 dev eth0" for address in wanted),
        )
        self._ip(self.namespace, *(f"route replace {address}/32 dev {BRIDGE}" for address in wanted))

    def remove_machine(self, machine: str) -> None:
        """Remove a machine's namespace, its interface and its port on the bridge."""
        name = self.region.machine_namespace(machine)
        if (NETNS / name).exists():
            run(["ip", "netns", "delete", name])
        # A namespace exists as long as any process in it. Without its port the machine is cut off at once.
        run(["ip", "-n", self.namespace, "link", "delete", port_name(machine)], check=False)

    def apply(self, rules: str) -> None:
        """Have the region's namespace follow these rules of nftables, all of them or none (nft(8))."""
        run(self.inside("nft", "-f", "-"), text=rules)

    def forward(self, host_port: int, address: IPv4Address, port: int) -> None:
        """Forward 127.0.0.1:``host_port`` on the host to a machine's port, in place of an earlier target.

        :raises RehearsalError: the host's port is in use.
        """
        forwards = self.forwards()
        wanted = forwards | {str(host_port): f"{address}:{port}"}
        if str(host_port) not in forwards:
            self._open(host_port)
        self._forwards.write_text(json.dumps(wanted))
        rules = [
            f'add rule ip airkiln in iifname "{UPLINK_DEVICE}" tcp dport {opened} dnat to {target}'
            for opened, target in wanted.items()
        ]
        self.apply("\n".join(["flush chain ip airkiln in", *rules]) + "\n")

    def forwards(self) -> dict[str, str]:
        """Return the forwarded ports of the host, each with address and port inside."""
        try:
            found: dict[str, str] = json.loads(self._forwards.read_text())
        except (OSError, ValueError):
            return {}
        return found

    def _open(self, host_port: int) -> None:
        reply = self._call_slirp(
            "add_hostfwd",
            {
                "proto": "tcp",
                "host_addr": "127.0.0.1",
                "host_port": host_port,
                "guest_addr": str(UPLINK_ADDRESS),
                "guest_port": host_port,
            },
        )
        if "error" in reply:
            raise RehearsalError(
                f"127.0.0.1:{host_port} could not be opened: {reply['error']}. "
                "If another process listens there, choose another port."
            )

    def _start_slirp(self) -> None:
        log = (self.region.logs / "slirp4netns.log").open("ab")
        reading, writing = os.pipe()
        script = ControlGroup(self.region, "slirp4netns").join_commands() + 'exec "$@"\n'
        command = [
            "slirp4netns",
            "--netns-type=path",
            f"--cidr={UPLINK}",
            f"--mtu={MTU}",
            "--configure",
            "--disable-host-loopback",
            f"--api-socket={self._socket}",
            f"--ready-fd={writing}",
            str(NETNS / self.namespace),
            UPLINK_DEVICE,
        ]
        with log, os.fdopen(reading, "rb") as ready:
            try:
                started = subprocess.Popen(
                    ["sh", "-ec", script, "sh", *command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[writing],
                    start_new_session=True,
                )
            finally:
                os.close(writing)
            signal = ready.read(1)
        process = Process.of(started.pid)
        if signal != b"1" or process is None:
            raise RehearsalError(
                f"slirp4netns did not start; see {self.region.logs / 'slirp4netns.log'}. "
                "It needs the package slirp4netns and the device /dev/net/tun."
            )
        process.write(self._slirp)

    def _call_slirp(self, name: str, arguments: dict[str, object]) -> dict[str, object]:
        """Send a request to the API of slirp4netns (slirp4netns(1)) and return its reply."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self._socket))
            connection.sendall(json.dumps({"execute": name, "arguments": arguments}).encode())
            connection.shutdown(socket.SHUT_WR)
            received = b"".join(iter(lambda: connection.recv(4096), b""))
        reply: dict[str, object] = json.loads(received)
        return reply

    def _add_namespace(self, name: str) -> None:
        if not os.path.ismount(NETNS):
            # iproute2 mounts /run/netns on itself at the first use. Record it, so that teardown unmounts it.
            self._made_netns.parent.mkdir(parents=True, exist_ok=True)
            self._made_netns.touch()
        run(["ip", "netns", "add", name])

    def _remove_run_netns(self) -> None:
        if self._made_netns.exists() and NETNS.is_dir() and not any(NETNS.iterdir()):
            run(["umount", NETNS], check=False)
            with contextlib.suppress(OSError):
                NETNS.rmdir()
            self._made_netns.unlink(missing_ok=True)

    def _ip(self, namespace: str, *lines: str) -> None:
        run(["ip", "-n", namespace, "-batch", "-"], text="\n".join(lines) + "\n")


def enter_network(path: Path) -> None:
    """Move the calling thread into a network namespace. Python has os.setns from 3.12 on.

    :raises RehearsalError: the process may not.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    with path.open("rb") as handle:
        if libc.setns(handle.fileno(), CLONE_NEWNET) != 0:
            problem = os.strerror(ctypes.get_errno())
            raise RehearsalError(
                f"The network namespace {path} could not be entered: {problem}. Run as root."
            )


def port_name(machine: str) -> str:
    """Return the name of a machine's port on the bridge, which has at most 15 characters."""
    return "v" + machine.removeprefix("i-").replace("-", "")[-14:]


def wait_for_port(address: IPv4Address, port: int, seconds: float) -> bool:
    """Return whether a TCP port accepts connections within ``seconds``, in the calling thread's network."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((str(address), port), timeout=1):
            return True
        time.sleep(0.1)
    return False
