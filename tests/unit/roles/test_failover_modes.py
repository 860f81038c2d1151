"""What a scheduler host starts, with the failover controller and without it."""

from __future__ import annotations

import pytest

from airkiln.roles import DAG_PROCESSOR_UNIT, FOLLOWERS
from tests.unit.roles.rendering import ROLES, render

TARGET = "airkiln-scheduler.target.d/20-failover.conf"
AUTOSCALER = "airkiln-autoscale.service"


def wanted(mode: str) -> set[str]:
    text = render("failover_controller", TARGET, failover_controller_mode=mode)
    return {
        unit
        for line in text.splitlines()
        if line.startswith("Wants=")
        for unit in line.removeprefix("Wants=").split()
    }


def test_a_host_that_boots_starts_the_controller_and_loads_a_dag_processor() -> None:
    assert wanted("active_standby") == {"airkiln-failover.service", DAG_PROCESSOR_UNIT}


def test_without_the_controller_the_target_starts_it() -> None:
    assert wanted("off") == set(FOLLOWERS)


@pytest.mark.parametrize("mode", ["active_standby", "off"])
def test_what_the_target_starts_it_also_waits_for(mode: str) -> None:
    text = render("failover_controller", TARGET, failover_controller_mode=mode)
    lines = [line.partition("=") for line in text.splitlines()]
    assert {value for key, _, value in lines if key == "Wants"} == {
        value for key, _, value in lines if key == "After"
    }


def test_without_a_controller_the_autoscaler_asks_nobody_who_leads() -> None:
    assert commands(render("worker_autoscaling", AUTOSCALER)) == [
        "/opt/airkiln/bin/airkiln autoscale run --without-controller"
    ]


def test_with_a_controller_the_autoscaler_runs_where_it_leads() -> None:
    drop_in = render("failover_controller", f"{AUTOSCALER}.d/40-failover.conf")
    assert commands(drop_in) == ["", "/opt/airkiln/bin/airkiln autoscale run"]


@pytest.mark.parametrize("unit", ["airflow-scheduler.service", "airflow-dag-processor.service", AUTOSCALER])
def test_every_drop_in_of_the_controller_is_removed_without_it(unit: str) -> None:
    tasks = (ROLES / "failover_controller/tasks/service.yml").read_text(encoding="utf-8")
    removal = tasks.partition("- name: Remove what binds the units to a controller")[2]
    assert f"    - {unit}\n" in removal
    assert "when: failover_controller_mode == 'off'" in removal


def commands(text: str) -> list[str]:
    return [line.removeprefix("ExecStart=") for line in text.splitlines() if line.startswith("ExecStart=")]
