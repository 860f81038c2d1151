"""How long an instance takes from its start until its role is healthy: `python -m benchmarks.boot`.

The time starts with the call of RunInstances and ends when the role is healthy. The peer of each role is the
bare Airflow commands of that role, started by hand at the same moment on a machine of the same image that has
booted already and has no role; there the time starts with the commands.

Healthy means the same for both. It is checked from outside every 20 ms:

- web server: `/api/v2/monitor/health` answers with status 200 and a healthy metadata database;
- scheduler: the scheduler, the DAG processor and the triggerer each have a row in the table `job`, from this
  host, with a heartbeat newer than the start;
- worker: Celery has logged that it is `ready.`, which it does when its consumer reads the queue;
- all: all of these.

Two intermediate times are measured: process 1 of the instance runs (`_process_1`), and the instance knows its
role and its parameters, so that systemd starts Airflow's commands (`_role_known`).

The image's files are in the page cache after the first run, which is not counted. On EC2 a new volume loads
its blocks when they are first read, so that a first boot takes longer there.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from airkiln.systemd import envfile
from benchmarks import health, rehearsed, results
from benchmarks.health import Check
from benchmarks.rehearsed import say
from benchmarks.results import Figure
from rehearsal.aws.account import aws_region
from rehearsal.aws.instances import launch_instance
from rehearsal.aws.services.rds.postgres import Postgres
from rehearsal.deployment import parameters
from rehearsal.deployment.image import baked_image
from rehearsal.deployment.instances import launch_role, prepare_database
from rehearsal.deployment.seed import seed
from rehearsal.linux.cgroups import ControlGroup
from rehearsal.linux.machine import Machine
from rehearsal.progress import Stages
from rehearsal.region import Region

COMPONENTS: dict[str, dict[str, list[str]]] = {
    "webserver": {"web server": ["api-server"]},
    "scheduler": {
        "scheduler": ["scheduler"],
        "dag-processor": ["dag-processor"],
        "triggerer": ["triggerer"],
    },
    "worker": {"worker": ["celery", "worker"]},
}
"""What each role runs, and the arguments of the `airflow` command."""
COMPONENTS["all"] = {name: words for role in COMPONENTS.values() for name, words in role.items()}

UNITS = {"web server": "airflow-webserver"} | {
    name: f"airflow-{name}" for name in COMPONENTS["all"] if name != "web server"
}
BUDGETS = {"all": 16.0}
"""Seconds from RunInstances."""
PERMITTED_MORE = 3.0
"""Seconds that a role alone may take more than its bare command."""
AIRKILN = "airkiln, from RunInstances"
BARE = "bare airflow command"
MANAGER = "systemd"
BEFORE_AIRFLOW = (
    "cloud-init-local.service",
    "cloud-init-network.service",
    "network-online.target",
    "airkiln-boot.service",
)
STEPS = {"process_1": MANAGER, "role_known": "airkiln-boot.service"}
"""The steps that are published, and the unit that ends each."""
CONDITIONS = (
    "a rehearsal on this machine: containers on a local disk whose pages are cached, not EC2 and its EBS; "
    "PostgreSQL and the AWS APIs run on the same cores"
)
GROUP = "bare"
"""Control group of the commands that are started by hand."""
AS_AIRFLOW = [
    "setpriv",
    "--reuid=airflow",
    "--regid=airflow",
    "--init-groups",
    "env",
    "--chdir=/var/lib/airflow",
]
STATIC = ("/etc/airkiln/aws.env", "/etc/airkiln/airflow.env")
PARAMETERS = "/run/airkiln/airflow.env"
SETTLE = 2.0
"""Seconds that the machine is left alone before commands are started by hand."""


@dataclass
class Samples:
    """Seconds by figure and subject."""

    taken: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def add(self, figure: str, subject: str, seconds: float) -> None:
        """One measurement."""
        self.taken.setdefault((figure, subject), []).append(seconds)

    def figures(self) -> list[Figure]:
        """A row for each figure and subject, the roles before their steps.

        The budget of a role is what its bare command took and what it may take more.
        """
        roles = [(role, subject) for role in COMPONENTS for subject in (AIRKILN, BARE)]
        ordered = [key for key in roles if key in self.taken]
        ordered += [key for key in self.taken if key not in roles]
        return [results.summarise(*key, self.taken[key], budget=self._budget(*key)) for key in ordered]

    def _budget(self, figure: str, subject: str) -> float | None:
        if subject != AIRKILN or figure not in COMPONENTS:
            return None
        bare = self.taken.get((figure, BARE))
        if figure in BUDGETS or bare is None:
            return BUDGETS.get(figure)
        return round(results.summarise(figure, BARE, bare).p50 + PERMITTED_MORE, 2)


@dataclass(frozen=True)
class Bench:
    """What all runs share."""

    region: Region
    image: str
    database: psycopg.Connection

    def instance(self, role: str, samples: Samples) -> str:
        """Launch one with the role, wait until it is healthy, terminate it; returns what took how long."""
        since, begun = datetime.datetime.now(datetime.UTC), time.monotonic()
        name, address = launch_role(self.region, self.image, role)
        with rehearsed.instance(self.region, name) as machine:
            checks = self._checks(role, address, since)
            if "worker" in checks:
                checks["worker"] = health.worker_in_journal(machine)
            healthy = health.watch(checks, {"worker": health.JOURNAL_POLL}, begun)
            moments = systemd_moments(machine, role)
        samples.add(role, AIRKILN, max(healthy.values()))
        for step, unit in STEPS.items():
            samples.add(f"{role}_{step}", AIRKILN, moments[unit] - begun)
        return timeline({unit: moment - begun for unit, moment in moments.items()} | healthy)

    def by_hand(self, machine: Machine, address: str, role: str, samples: Samples) -> str:
        """Start the role's commands together on a machine that has booted; returns what took how long."""
        enter = machine.inside(*AS_AIRFLOW, *self._environment(machine, role))
        group = ControlGroup(self.region, GROUP)
        join = ["sh", "-ec", group.join_commands() + 'exec "$@"\n', "sh", *enter, "/opt/airflow/bin/airflow"]
        time.sleep(SETTLE)
        since, begun = datetime.datetime.now(datetime.UTC), time.monotonic()
        try:
            for name, words in COMPONENTS[role].items():
                with self._log(name).open("wb") as log:
                    subprocess.Popen([*join, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            healthy = health.watch(self._checks(role, address, since), {}, begun)
        finally:
            group.end()
        samples.add(role, BARE, max(healthy.values()))
        return timeline(healthy)

    def _checks(self, role: str, address: str, since: datetime.datetime) -> dict[str, Check]:
        checks: dict[str, Check] = {}
        for name in COMPONENTS[role]:
            if name in health.JOBS:
                checks[name] = health.job(self.database, name, address, since)
        if "web server" in COMPONENTS[role]:
            checks["web server"] = health.web_server(address)
        if "worker" in COMPONENTS[role]:
            checks["worker"] = health.worker_in_output(self._log("worker"))
        return checks

    def _log(self, component: str) -> Path:
        return self.region.logs / f"bare-{component.replace(' ', '-')}.log"

    def _environment(self, machine: Machine, role: str) -> list[str]:
        """What the role's units have in their environment, as `env` takes it."""
        load = [
            *("/opt/airkiln/bin/airkiln", "parameters", "load", "--environment", parameters.NAME),
            *("--role", role, "--region", aws_region(), "--output", PARAMETERS),
        ]
        aws = envfile.parse(machine.execute(["cat", *STATIC]).stdout)
        machine.execute(["mkdir", "-p", str(Path(PARAMETERS).parent)])
        machine.execute(["env", *pairs(aws), *load])
        values = envfile.parse(machine.execute(["cat", *STATIC, PARAMETERS]).stdout)
        return pairs(values | {"HOME": values["AIRFLOW_HOME"]})


def pairs(values: Mapping[str, str]) -> list[str]:
    """NAME=value, as `env` takes it."""
    return [f"{name}={value}" for name, value in values.items()]


def systemd_moments(machine: Machine, role: str) -> dict[str, float]:
    """When systemd began, and when it had each unit active, in seconds on CLOCK_MONOTONIC."""
    manager = _properties(machine, "UserspaceTimestampMonotonic")
    moments = {MANAGER: int(manager["UserspaceTimestampMonotonic"]) / 1e6}
    for unit in (*BEFORE_AIRFLOW, *(UNITS[name] for name in COMPONENTS[role])):
        shown = _properties(
            machine, "ActiveEnterTimestampMonotonic", "InactiveExitTimestampMonotonic", unit=unit
        )
        if int(shown["ActiveEnterTimestampMonotonic"]):
            moments[f"{unit} begins"] = int(shown["InactiveExitTimestampMonotonic"]) / 1e6
            moments[unit] = int(shown["ActiveEnterTimestampMonotonic"]) / 1e6
    return moments


def _properties(machine: Machine, *names: str, unit: str | None = None) -> dict[str, str]:
    asked = ["systemctl", "show", f"--property={','.join(names)}", *([unit] if unit else [])]
    return dict(line.split("=", 1) for line in machine.execute(asked).stdout.splitlines())


def timeline(seconds: Mapping[str, float]) -> str:
    """One line a moment, in order."""
    return "\n".join(
        f"  {at:7.2f} s  {what}" for what, at in sorted(seconds.items(), key=lambda pair: pair[1])
    )


def measure(region: Region, roles: Sequence[str], runs: int, image: str | None) -> list[Figure]:
    """All figures: `runs` launches of each role, and as many starts by hand, in turn.

    :param image: id of an image of the rehearsal; None: the one of this tree, baked if there is none.
    """
    image = image or baked_image(region, Stages(1))
    postgres = Postgres(region)
    postgres.start()
    seed(postgres)
    prepare_database(region, image)
    samples = Samples()
    with connect() as database:
        bench = Bench(region, image, database)
        say("all, not counted:\n" + bench.instance("all", Samples()))
        for turn in range(1, runs + 1):
            for role in roles:
                say(f"{role}, {turn} of {runs}:\n{bench.instance(role, samples)}")
            name, address = launch_instance(region, image, {"Name": "bare"}, profile=parameters.PROFILE)
            with rehearsed.instance(region, name) as machine:
                machine.wait_until_booted()
                for role in roles:
                    steps = bench.by_hand(machine, address, role, samples)
                    say(f"{role} by hand, {turn} of {runs}:\n{steps}")
    return samples.figures()


def connect() -> psycopg.Connection:
    """A connection to the metadata database, as Airflow's own user."""
    return psycopg.connect(parameters.database_address(), autocommit=True)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Instance start to healthy, beside the bare commands.")
    parser.add_argument("--runs", type=int, default=5, help="of each role and kind (default: %(default)s)")
    parser.add_argument("--role", action="append", choices=COMPONENTS, help="only this one; may be repeated")
    parser.add_argument("--image", metavar="ID", help="boot this one (default: this tree's, baked if needed)")
    parser.add_argument("--output", type=Path, help="default: benchmarks/results/boot.json")
    parser.add_argument("--keep", action="store_true", help="leave the rehearsal running")
    options = parser.parse_args()
    with rehearsed.region(keep=options.keep) as region:
        figures = measure(region, options.role or list(COMPONENTS), options.runs, options.image)
    path = results.record("boot", figures, options.output, conditions=CONDITIONS)
    say(results.table(figures))
    say(f"written to {path}")


if __name__ == "__main__":
    main()
