"""The playbooks that install reach the hosts that they are for, and no fleet."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
TOOLS = Path(sys.executable).parent
FLEET: dict[str, Any] = {
    "all": {
        "children": {
            "prod": {"hosts": {"i-0123456789abcdef0": {}}},
            "role_worker": {"hosts": {"i-0123456789abcdef0": {}}},
        }
    }
}


def playbook(name: str, inventory: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(TOOLS / "ansible-playbook"), f"playbooks/{name}.yml", "--inventory", inventory, *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_bake_reaches_packers_host_and_a_group_of_its_own_but_no_fleet(tmp_path: Path) -> None:
    assert "10.42.1.2" in playbook("image", "10.42.1.2:22,", "--list-hosts").stdout
    fleet, built = tmp_path / "fleet.yml", tmp_path / "built.yml"
    fleet.write_text(yaml.safe_dump(FLEET))
    built.write_text(yaml.safe_dump({"all": {"children": {"airkiln_image": {"hosts": {"builder": {}}}}}}))
    assert "i-0123" not in playbook("image", str(fleet), "--list-hosts").stdout
    assert "builder" in playbook("image", str(built), "--list-hosts").stdout


@pytest.mark.parametrize(
    ("name", "guard", "path"),
    [
        ("image", "no_running_instance", "/run/airkiln/instance.json"),
        ("site", "no_baked_image", "/etc/airkiln-release"),
    ],
)
def test_the_first_task_of_a_playbook_refuses_what_it_is_not_for(
    name: str, guard: str, path: str, tmp_path: Path
) -> None:
    first = yaml.safe_load((ROOT / f"playbooks/{name}.yml").read_text(encoding="utf-8"))[0]
    assert first["pre_tasks"][0]["ansible.builtin.import_tasks"] == f"tasks/{guard}.yml"
    tasks = (ROOT / f"playbooks/tasks/{guard}.yml").read_text(encoding="utf-8")
    assert f"path: {path}\n" in tasks
    there = tmp_path / "there"
    copy = tmp_path / "play.yml"
    copy.write_text(
        yaml.safe_dump(
            [
                {
                    "hosts": "localhost",
                    "gather_facts": False,
                    "tasks": yaml.safe_load(tasks.replace(f"path: {path}", f"path: {there}")),
                }
            ]
        )
    )
    for refused in (False, True):
        if refused:
            there.write_text("")
        command = [
            str(TOOLS / "ansible-playbook"),
            str(copy),
            "--connection",
            "local",
            "--inventory",
            "localhost,",
        ]
        # Not this environment's: Ansible takes no interpreter whose path has a space in it.
        command += ["--extra-vars", "ansible_python_interpreter=/usr/bin/python3"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert (done.returncode != 0) is refused, done.stdout
        assert ("packer build packer/" in done.stdout) is refused
