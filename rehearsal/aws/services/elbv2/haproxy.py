"""The machine of the load balancers: Debian's HAProxy, one process for all of them.

It is at 10.42.0.11. Each load balancer has an address of its own beside that one, in a subnet of its VPC.
Keys of certificates are in the machine's memory only. A new configuration is loaded without a gap: the
process before it ends when its connections have ended.
"""

from __future__ import annotations

import csv
import io
import shlex

from rehearsal.aws.services.elbv2.configuration import FOLDER, MASTER, STATE, STATISTICS
from rehearsal.aws.services.elbv2.models import Check, Desired
from rehearsal.errors import RehearsalError
from rehearsal.linux.addresses import LOAD_BALANCER
from rehearsal.linux.machine import Machine, Specification
from rehearsal.linux.rootfs import build_layer
from rehearsal.region import Region

NAME = "load-balancer"
UNIT = "load-balancer.service"
CONFIGURATION = "/etc/haproxy/haproxy.cfg"
SERVERS = "show stat -1 4 -1\n"
"""Asks for the statistics of the servers of all backends (HAProxy's management guide, "show stat")."""

SCRIPT = rf"""
apt-get -qq update
apt-get -qq install --no-install-recommends -y haproxy socat
apt-get clean
rm -rf /var/lib/apt/lists/*
systemctl --quiet disable haproxy.service
cat > /etc/systemd/system/{UNIT} <<'END'
[Unit]
Description=The load balancers of the rehearsal

[Service]
Type=notify
ExecStart=/usr/sbin/haproxy -Ws -f {CONFIGURATION} -S {MASTER}
KillMode=mixed
Restart=on-failure
END
# This machine is not an EC2 instance: it has no metadata service, and nobody logs in.
touch /etc/cloud/cloud-init.disabled
systemctl --quiet disable ssh.service
systemctl --quiet mask ssh.socket ssh.service
"""

LOAD = rf"""
haproxy -c -q -f {CONFIGURATION} >&2
if systemctl --quiet is-active {UNIT}; then
    echo reload | socat -t 60 - UNIX-CONNECT:{MASTER} | tee /dev/stderr | grep -q ^Success=1
else
    systemctl start {UNIT}
fi
"""


class HAProxy:
    """The load balancers' machine of a rehearsal."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self.machine = Machine(region, NAME)

    def build(self) -> None:
        """Build the machine's root filesystem unless it exists; needs the network and some seconds."""
        build_layer(self.region, NAME, SCRIPT)

    def apply(self, desired: Desired, state: str) -> None:
        """Serve this and nothing else; starts the machine if it does not run.

        :param state: which targets are healthy, as ``configuration.state`` writes it.
        :raises RehearsalError: the machine did not start, or HAProxy refused the configuration.
        """
        if not self.machine.running():
            self.machine.remove()
            layers = [str(layer) for layer in build_layer(self.region, NAME, SCRIPT)]
            Machine.create(self.region, Specification(NAME, str(LOAD_BALANCER), NAME, layers))
            self.machine.start()
        self.machine.wait_until_booted(60)
        self.machine.network.set_further_addresses(NAME, desired.addresses)
        self._run(f"mkdir -p -m 700 {FOLDER}")
        for path, text in desired.certificates.items():
            self._write(path, text)
        self._write(STATE, state)
        self._write(CONFIGURATION, desired.configuration)
        self._run(LOAD)

    def health(self) -> dict[tuple[str, str], Check]:
        """What the last health checks found, by backend and server; empty where nothing is served."""
        try:
            answered = self.machine.execute(
                ["socat", "-t", "10", "-", f"UNIX-CONNECT:{STATISTICS}"], text=SERVERS
            ).stdout
        except RehearsalError:
            return {}
        return checks(answered)

    def remove(self) -> None:
        """Remove the machine."""
        self.machine.remove()

    def _write(self, path: str, text: str) -> None:
        self._run(f"umask 077; cat > {shlex.quote(path)}", text)

    def _run(self, script: str, text: str | None = None) -> None:
        self.machine.execute(["sh", "-ec", script], text=text)


def checks(statistics: str) -> dict[tuple[str, str], Check]:
    """Read the answer to ``show stat``: values separated by commas below a heading."""
    rows = csv.DictReader(io.StringIO(statistics.removeprefix("# ")))
    return {
        (row["pxname"], row["svname"]): Check(row["status"], row["check_status"], row["check_code"])
        for row in rows
        if row["svname"] and row["check_status"]
    }
