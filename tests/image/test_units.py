"""What starts, what runs, and how far it is confined, as systemd sees it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from testinfra.host import Host

from airkiln.roles import AUTOSCALE_UNIT, DAG_PROCESSOR_UNIT, FAILOVER_UNIT, LEADER_UNITS
from tests.image.conftest import ROOT, lines
from tests.support.waiting import until
from tools.security import exposure
from tools.security.exposure import OURS

VENDORS = {
    "amazon-cloudwatch-agent.service",
    "amazon-ssm-agent.service",
    "chrony.service",
}
"""Units that are not Debian's own default and are meant to start at boot."""
SCORES = ROOT / "build/security-scores"
"""Folder of what was measured, a file for each state of the image: several suites may run at once."""


def unit_files(host: Host, *options: str) -> list[str]:
    words = ("systemctl", "list-unit-files", "--no-legend", "--no-pager", "--plain", *options)
    return [line.split()[0] for line in lines(host, " ".join(words))]


def measured(host: Host, unit: str, running: bool) -> float:
    """The score of one unit; where no systemd runs, from its files alone."""
    printed = host.run(exposure.command(unit, running=running))
    return exposure.score(printed.stdout + printed.stderr)


def test_of_our_units_only_the_boot_is_enabled(host: Host) -> None:
    enabled = {unit for unit in unit_files(host, "--state=enabled,enabled-runtime") if OURS.match(unit)}
    assert enabled == {"airkiln-boot.service"}


def test_no_other_unit_pulls_ours_at_boot(host: Host) -> None:
    links = lines(
        host, "find /etc/systemd/system /usr/lib/systemd/system -type l -path '*.wants/*' -printf '%f\\n'"
    )
    assert {link for link in links if OURS.match(link)} <= {"airkiln-boot.service"}


@pytest.mark.parametrize("role", ["webserver", "scheduler", "worker", "database", "all"])
def test_every_role_tells_the_stack_that_waits_for_it(host: Host, role: str) -> None:
    text = host.file(f"/etc/systemd/system/airkiln-{role}.target").content_string
    assert "Wants=airkiln-signal.service" in text.splitlines()


def test_a_scheduler_host_starts_the_controller_and_loads_a_dag_processor(host: Host) -> None:
    folder = "/etc/systemd/system"
    target = host.file(f"{folder}/airkiln-scheduler.target").content_string
    added = host.file(f"{folder}/airkiln-scheduler.target.d/20-failover.conf").content_string
    assert f"Wants={FAILOVER_UNIT} {DAG_PROCESSOR_UNIT}" in added.splitlines()
    assert AUTOSCALE_UNIT not in target + added, "the controller starts it where its host leads"
    controller = host.file(f"{folder}/airkiln-failover.service").content_string
    assert f"PropagatesStopTo={' '.join(LEADER_UNITS)}" in controller.splitlines()


@pytest.mark.parametrize("role", ["worker", "all"])
def test_a_worker_is_started_with_what_finds_its_end(host: Host, role: str) -> None:
    folder = f"/etc/systemd/system/airkiln-{role}.target"
    assert "airflow-worker@1.service" in host.file(folder).content_string
    added = host.file(f"{folder}.d/20-lifecycle.conf").content_string
    assert "Wants=airkiln-lifecycle.service" in added.splitlines()


def test_every_generation_of_the_worker_has_the_shared_sandbox(host: Host, booted: None) -> None:
    (paths,) = lines(host, "systemctl show --value --property=DropInPaths airflow-worker@7.service")
    names = {path.rpartition("/")[2] for path in paths.split()}
    assert names >= {"10-sandbox.conf", "20-restart.conf", "40-lifecycle.conf"}


@pytest.mark.parametrize(
    ("unit", "sandbox"),
    [
        ("airkiln-boot", "airkiln-.service.d"),
        ("airkiln-efs-tunnel", "airkiln-.service.d"),
        ("airkiln-early-journal", "airkiln-.service.d"),
        ("airkiln-failover", "airkiln-.service.d"),
        ("airkiln-lifecycle", "airkiln-.service.d"),
        ("airkiln-database", "airkiln-database.service.d"),
    ],
)
def test_every_program_of_ours_has_one_sandbox(host: Host, booted: None, unit: str, sandbox: str) -> None:
    """The database step runs Airflow: its own 10-sandbox.conf takes the place of the shared one."""
    (paths,) = lines(host, f"systemctl show --value --property=DropInPaths {unit}.service")
    shared = [path for path in paths.split() if path.endswith("/10-sandbox.conf")]
    assert shared == [f"/etc/systemd/system/{sandbox}/10-sandbox.conf"]


def test_at_a_shutdown_the_worker_ends_before_what_it_needs(host: Host, booted: None) -> None:
    (after,) = lines(host, "systemctl show --value --property=After airflow-worker@1.service")
    assert {
        "airflow-worker-logs.service",
        "airkiln-lifecycle.service",
        "network.target",
        "systemd-networkd.service",
        "systemd-resolved.service",
    } <= set(after.split())


@pytest.mark.parametrize("target", ["poweroff", "reboot", "halt"])
def test_a_shutdown_outlasts_a_drain(host: Host, booted: None, target: str) -> None:
    (shutdown,) = lines(host, f"systemctl show --value --property=JobTimeoutUSec {target}.target")
    (stop,) = lines(host, "systemctl show --value --property=TimeoutStopUSec airflow-worker@1.service")
    assert (shutdown, stop) == ("12h 30min", "12h")


@pytest.mark.parametrize("unit", ["airflow-scheduler", "airflow-dag-processor"])
def test_what_leads_stands_behind_the_gate(host: Host, unit: str) -> None:
    drop_in = host.file(f"/etc/systemd/system/{unit}.service.d/40-failover.conf").content_string
    assert "Environment=AIRKILN_GATE=/run/airkiln-failover/gate" in drop_in.splitlines()


def test_the_baked_limits_of_the_failover_are_accepted(host: Host) -> None:
    program = (
        "from pathlib import Path; from airkiln.failover.config import load; "
        "from airkiln.host.environment import read_optional; "
        'load(variables=read_optional(Path("/etc/airkiln/airflow.env")))'
    )
    assert host.run(f"/opt/airkiln/bin/python -P -c '{program}'").rc == 0


def test_systemd_kills_a_controller_that_hangs(host: Host) -> None:
    # As text: `systemctl show` has a watchdog's time only while the unit runs.
    unit = host.file("/etc/systemd/system/airkiln-failover.service").content_string.splitlines()
    assert {"WatchdogSec=3", "WatchdogSignal=SIGKILL"} <= set(unit)


@pytest.mark.state("serving")
def test_where_no_stack_waits_the_signal_ends_well(host: Host, booted: None) -> None:
    shown = lines(host, "systemctl show --property=ActiveState,Result,ExecMainStatus airkiln-signal.service")
    assert set(shown) == {"ActiveState=active", "Result=success", "ExecMainStatus=0"}


@pytest.mark.state("baked")
def test_none_of_our_units_runs_when_the_bake_ends(host: Host, booted: None) -> None:
    assert running_units(host) == set()


@pytest.mark.state("idle")
def test_without_a_role_the_boot_ends_well_and_starts_nothing(host: Host, booted: None) -> None:
    assert running_units(host) <= {"airkiln-boot.service"}
    shown = lines(host, "systemctl show --property=Result,ExecMainStatus airkiln-boot.service")
    assert set(shown) == {"Result=success", "ExecMainStatus=0"}


@pytest.mark.state("idle", "serving")
def test_no_unit_has_failed(host: Host, booted: None) -> None:
    assert lines(host, "systemctl list-units --state=failed --no-legend --no-pager --plain") == []


@pytest.mark.state("idle", "serving")
def test_the_agent_of_cloudwatch_runs_with_our_configuration(host: Host, booted: None) -> None:
    shown = lines(host, "systemctl show --property=SubState,NRestarts amazon-cloudwatch-agent.service")
    assert set(shown) == {"SubState=running", "NRestarts=0"}


@pytest.mark.state("serving")
def test_the_journal_of_the_boot_has_been_sent(host: Host, booted: None) -> None:
    sent = host.file("/var/lib/airkiln-early-journal/sent")
    until(lambda: sent.exists, "airkiln-early-journal.service has sent nothing")


def test_the_agents_and_the_clock_start_at_boot(host: Host) -> None:
    assert set(unit_files(host, "--state=enabled")) >= VENDORS


@pytest.mark.parametrize(
    "unit", ["apt-daily.timer", "apt-daily-upgrade.timer", "rpcbind.socket", "rpcbind.service"]
)
def test_what_an_image_has_no_use_for_is_masked(host: Host, unit: str) -> None:
    assert host.run(f"systemctl is-enabled {unit}").stdout.strip() == "masked"


def test_systemd_finds_no_fault_in_our_units(host: Host) -> None:
    ours = [unit.replace("@.", "@1.") for unit in unit_files(host) if OURS.match(unit)]
    checked = host.run(f"systemd-analyze verify --man=no {' '.join(ours)}")
    said = [line for line in checked.stderr.splitlines() if OURS.match(line) or "/airkiln" in line]
    assert (checked.rc, said) == (0, [])


def test_every_service_of_ours_is_confined(host: Host, running: bool, state: str) -> None:
    services = [unit for unit in unit_files(host, "--type=service") if OURS.match(unit)]
    assert "airkiln-boot.service" in services
    scores = {unit: measured(host, unit, running) for unit in services}
    write_scores(f"{state}-ours", scores)
    assert exposure.above(scores) == {}


def test_the_scores_of_the_vendors_services_are_listed(host: Host, running: bool, state: str) -> None:
    enabled = [unit for unit in unit_files(host, "--type=service", "--state=enabled") if not OURS.match(unit)]
    scores = {unit: measured(host, unit, running) for unit in enabled}
    write_scores(f"{state}-vendors", scores)
    assert scores.keys() >= VENDORS


def running_units(host: Host) -> set[str]:
    """Our services and targets that are active or on their way."""
    command = "systemctl list-units --state=active,activating,reloading --no-legend --no-pager --plain"
    found = {line.split()[0] for line in lines(host, f"{command} 'airkiln-*' 'airflow-*'")}
    return {unit for unit in found if OURS.match(unit)}


def write_scores(name: str, scores: dict[str, float], folder: Path = SCORES) -> None:
    """Keep what was measured, for docs/security.md. A reader finds the old file or the new one, whole."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as file:
        file.write(json.dumps(dict(sorted(scores.items())), indent=2) + "\n")
    Path(file.name).replace(folder / f"{name}.json")
