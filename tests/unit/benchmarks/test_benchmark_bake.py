"""The pure parts of `benchmarks.bake`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from benchmarks import bake, results
from benchmarks.bake import Installed
from rehearsal.errors import RehearsalError

RECAP = "site  : ok=90   changed={changed}    unreachable=0    failed={failed}    skipped=3    rescued=0\n"


def test_the_recap_tells_what_changed() -> None:
    assert bake.recap("PLAY RECAP ****\n" + RECAP.format(changed=0, failed=0)) == 0
    assert bake.recap("PLAY RECAP ****\n" + RECAP.format(changed=17, failed=0)) == 17


@pytest.mark.parametrize(
    "output", ["", RECAP.format(changed=1, failed=1), RECAP.format(changed=1, failed=0) * 2]
)
def test_a_recap_that_is_missing_failed_or_of_two_hosts_is_refused(output: str) -> None:
    with pytest.raises(RehearsalError, match="recap"):
        bake.recap(output)


def test_installers_that_did_different_work_are_not_compared() -> None:
    both = Installed(frozenset({"apache_airflow-3.3.2.dist-info"}), 20_000)
    bake.require_equal({"uv": both, "pip": Installed(both.packages, 20_100)})
    with pytest.raises(RehearsalError, match="compiled 20000 and 0 modules"):
        bake.require_equal({"uv": both, "pip": Installed(both.packages, 0)})
    with pytest.raises(RehearsalError, match=r"different packages: .*apache_airflow"):
        bake.require_equal({"uv": both, "pip": Installed(frozenset(), 20_000)})


def test_uv_installs_as_the_role_does() -> None:
    tasks = yaml.safe_load((results.ROOT / "roles/base/tasks/new_environment.yml").read_text())
    baked = next(task for task in tasks if "ansible.builtin.shell" in task)
    assert "__base_uv_environment" in baked["environment"]
    variables = yaml.safe_load((results.ROOT / "roles/base/vars/main.yml").read_text())
    measured = bake.INSTALLERS["uv, as baked"]
    assert all(f"{name}={value}" in measured for name, value in variables["__base_uv_environment"].items())
    sync = next(line for line in baked["ansible.builtin.shell"]["cmd"].splitlines() if "uv pip sync" in line)
    options = sync.split("{{")[0].split()[3:]
    assert options
    assert " ".join(options) in measured


def test_the_inventory_has_one_all_in_one_and_its_group_variables(tmp_path: Path) -> None:
    path = bake.inventory(tmp_path, "10.42.1.0", tmp_path / "key")
    hosts = json.loads(path.read_text())["all"]["children"]["all_in_one"]["hosts"]
    assert [host["ansible_host"] for host in hosts.values()] == ["10.42.1.0"]
    assert (tmp_path / "group_vars/all_in_one.yml").exists()
