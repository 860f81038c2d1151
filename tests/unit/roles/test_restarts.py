"""What has changed comes into force: new code restarts its daemons, and a failed run keeps its handlers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment

ROOT = Path(__file__).resolve().parents[3]


def load(path: str) -> Any:  # noqa: ANN401 - YAML
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_new_code_of_airkiln_restarts_each_of_its_daemons_and_no_other_unit() -> None:
    handlers = [each for each in load("roles/airflow/handlers/main.yml") if "loop" in each]
    patterns = [
        re.compile(match[1])
        for each in handlers
        if "Virtual environment changed" in each["listen"]
        and (match := re.search(r"'key', 'match', '([^']+)'", each["loop"]))
    ]
    units = {
        path.name.removesuffix(".j2"): path.read_text(encoding="utf-8")
        for path in ROOT.glob("roles/*/templates/etc/systemd/system/airkiln-*.service.j2")
    }
    ours = {
        name
        for name, text in units.items()
        if re.search(r"^ExecStart=\S*airkiln", text, re.MULTILINE) and "Type=oneshot" not in text
    }
    assert ours >= {"airkiln-autoscale.service", "airkiln-failover.service", "airkiln-lifecycle.service"}
    assert {name for name in ours if not any(each.match(name) for each in patterns)} == set()
    assert not any(each.match("airkiln-efs-tunnel.service") for each in patterns)


def test_every_play_that_changes_running_hosts_keeps_its_handlers_when_it_fails() -> None:
    plays = [play for play in load("playbooks/site.yml") if "roles" in play]
    assert plays
    assert all(play["force_handlers"] is True for play in plays)


def test_every_preflight_runs_before_the_first_change() -> None:
    have = {path.parents[1].name for path in ROOT.glob("roles/*/tasks/preflight.yml")}
    for name in ("image", "site"):
        plays = load(f"playbooks/{name}.yml")
        first = plays[0]["pre_tasks"]
        called = [task.get("ansible.builtin.import_tasks") for task in first]
        place = called.index("tasks/role_preflights.yml")
        assert called[:place] in (["tasks/no_running_instance.yml"], ["tasks/no_baked_image.yml"])
        roles = {role for play in plays for role in play.get("roles", []) if role in have}
        assert set(first[place]["vars"]["preflight_roles"]) == roles


def test_hosts_change_one_after_the_other_and_the_next_one_waits_for_the_units_of_the_last() -> None:
    (changes,) = [play for play in load("playbooks/site.yml") if "airflow" in play.get("roles", ())]
    assert changes["serial"] == "{{ airkiln_serial | default(1) }}"
    assert changes["max_fail_percentage"] == 0
    last = changes["post_tasks"][-1]
    assert last["ansible.builtin.import_tasks"] == "tasks/restarted_units.yml"


def test_the_lead_is_handed_over_before_a_scheduler_restarts() -> None:
    for topic in ("Airflow changed", "Virtual environment changed"):
        handlers = [each for each in load("roles/airflow/handlers/main.yml") if topic in each["listen"]]
        calls = [each.get("ansible.builtin.command", {}).get("argv", [""])[-1] for each in handlers]
        restarts = [each.get("ansible.builtin.systemd_service", {}).get("name") for each in handlers]
        # What follows the lead, such as the DAG processor, no longer runs when what runs is looked for.
        gathers = ["ansible.builtin.service_facts" in each for each in handlers].index(True)
        assert calls.index("switchover") < gathers < restarts.index("{{ item }}")


LEADS = {"phase": "leading", "members": [{"leads": True, "ready": True}, {"leads": False, "ready": True}]}


@pytest.mark.parametrize(
    ("answer", "moved"),
    [
        ({"rc": 0, "stdout": json.dumps(LEADS)}, True),
        ({"rc": 0, "stdout": json.dumps(LEADS | {"phase": "standby"})}, False),
        ({"rc": 0, "stdout": json.dumps(LEADS | {"members": LEADS["members"][:1]})}, False),
        ({"rc": 0, "stdout": "", "skipped": True}, False),  # Ansible's answer in check mode
        ({"rc": 69, "stdout": ""}, False),
        ({"msg": "No such file", "failed": True}, False),
    ],
)
def test_the_lead_is_handed_over_by_a_leader_to_a_host_that_is_ready(
    answer: dict[str, object], moved: bool
) -> None:
    (handler,) = [each for each in load("roles/airflow/handlers/main.yml") if each["name"].startswith("Move")]
    jinja = Environment()
    jinja.filters["from_json"] = json.loads
    conditions = (jinja.compile_expression(each) for each in handler["when"])
    assert all(condition(__airflow_failover=answer) for condition in conditions) is moved


def test_the_wait_for_restarted_units_ends_when_none_is_on_its_way(tmp_path: Path) -> None:
    systemctl, calls = tmp_path / "systemctl", tmp_path / "calls"
    systemctl.write_text(
        f'#!/bin/sh\necho "$*" >>{calls}\n'
        f"[ $(wc -l <{calls}) -gt 2 ] || echo airflow-worker@1.service loaded deactivating stop-sigterm\n"
    )
    systemctl.chmod(0o755)
    tasks = load("playbooks/tasks/restarted_units.yml")
    for task in tasks:
        task["delay"] = 0
    play = {"hosts": "localhost", "gather_facts": False, "tasks": tasks}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))

    def wait(timeout: int) -> int:
        calls.write_text("")
        command = [str(Path(sys.executable).parent / "ansible-playbook"), str(tmp_path / "play.yml")]
        command += ["--connection", "local", "--inventory", "localhost,"]
        # Not this environment's: Ansible takes no interpreter whose path has a space in it.
        command += [
            "--extra-vars",
            f"airkiln_restart_timeout={timeout} ansible_python_interpreter=/usr/bin/python3",
        ]
        environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        return done.returncode

    assert wait(60) == 0
    assert len(calls.read_text().splitlines()) == 3
    assert wait(5) != 0
