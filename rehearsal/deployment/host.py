"""One instance of a deployment, as tests and experiments look into it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rehearsal.aws.client import client
from rehearsal.deployment.instances import raise_if_failed
from rehearsal.errors import RehearsalError
from rehearsal.linux.cgroups import ControlGroup
from rehearsal.linux.machine import Machine
from rehearsal.linux.network import port_name
from rehearsal.linux.processes import run
from rehearsal.region import Region
from rehearsal.waiting import wait_until

WEBSERVER_UNIT = "airflow-webserver.service"
SCHEDULER_UNIT = "airflow-scheduler.service"
CONTROLLER_UNIT = "airkiln-failover.service"
DAG_PROCESSOR_UNIT = "airflow-dag-processor.service"
TRIGGERER_UNIT = "airflow-triggerer.service"
LIFECYCLE_UNIT = "airkiln-lifecycle.service"


@dataclass(frozen=True)
class Host:
    """An instance: its id, which names its machine too, and its private address."""

    region: Region
    name: str
    address: str

    @property
    def machine(self) -> Machine:
        """The instance's machine."""
        return Machine(self.region, self.name)

    @property
    def group(self) -> Path:
        """The control group of the whole machine, in the unified hierarchy of the real host."""
        return ControlGroup(self.region, f"machine-{self.name}").folders[0]

    def unit_group(self, unit: str) -> Path:
        """The control group of one of the machine's units."""
        return self.group / "payload" / "system.slice" / unit

    def processes(self, unit: str) -> list[int]:
        """Ids of a unit's processes as the real host numbers them, oldest first; empty if it does not run."""
        found: list[int] = []
        for folder in [self.unit_group(unit), *self.unit_group(unit).glob("**/")]:
            with suppress(OSError):
                found += [int(pid) for pid in (folder / "cgroup.procs").read_text().split()]
        return sorted(set(found))

    def main_process(self, unit: str) -> int:
        """Id, on the real host, of the unit's main process: the one whose parent is not in the unit.

        :raises RehearsalError: the unit does not run.
        """
        for pid in (known := self.processes(unit)):
            with suppress(OSError):
                if _parent(pid) not in known:
                    return pid
        raise RehearsalError(f"{unit} does not run on {self.name}.")

    def journal(self, *options: str, lines: int = 200) -> str:
        """The end of the journal of Airkiln's and Airflow's units.

        :param options: further options of journalctl.
        """
        asked = ["journalctl", "--no-pager", f"--lines={lines}", "--unit=airkiln-*", "--unit=airflow-*"]
        return self.machine.execute([*asked, *options], check=False, timeout=20).stdout

    def systemctl(self, *words: str, check: bool = True) -> str:
        """Run systemctl in the machine and return what it prints."""
        return self.machine.execute(["systemctl", *words], check=check).stdout.strip()

    def wait_until_up(self, seconds: float) -> None:
        """Wait until systemd has no job left and none of our units failed."""
        self.machine.wait_until_booted(seconds)
        wait_until(f"{self.name} has no job left", lambda: not self._jobs(), seconds, self.machine.hint)
        raise_if_failed(self.machine)

    def cut_power(self) -> None:
        """End the machine at once. The network goes first: a host that dies sends no FIN or RST packets."""
        port = port_name(self.name)
        run(["ip", "-n", self.region.namespace, "link", "set", port, "down"])
        (self.group / "cgroup.kill").write_text("1")

    def power_on(self, seconds: float = 60) -> None:
        """Start the instance again after `cut_power`, through EC2, in the region's network."""
        ec2 = client("ec2")

        def state() -> str:
            found = ec2.describe_instances(InstanceIds=[self.name])["Reservations"][0]["Instances"][0]
            return str(found["State"]["Name"])

        wait_until(f"{self.name} is stopped", lambda: state() == "stopped", seconds)
        ec2.start_instances(InstanceIds=[self.name])
        wait_until(f"{self.name} runs", lambda: state() == "running", seconds)

    def _jobs(self) -> str:
        return self.systemctl("list-jobs", "--no-legend", "--no-pager", check=False)


def load_parameters_again(units: Mapping[Host, str], seconds: float = 90) -> None:
    """Have hosts load changed parameters, and wait until a unit of each runs as another process.

    :param units: for each host, a unit that the change restarts.
    """
    before = {host: host.main_process(unit) for host, unit in units.items()}
    for host in units:
        host.systemctl("reload", "airkiln-boot.service")

    def restarted() -> bool:
        now = {host: host.processes(unit) for host, unit in units.items()}
        return all(running and before[host] not in running for host, running in now.items())

    wait_until("each unit has restarted with the changed parameters", restarted, seconds)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
