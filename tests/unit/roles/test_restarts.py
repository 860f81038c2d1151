"""What has changed comes into force: new code restarts its daemons, and a failed run keeps its handlers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

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
