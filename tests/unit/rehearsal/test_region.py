"""Names, recipes and quoting: what the rehearsal decides without touching the machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rehearsal.aws.session import environment
from rehearsal.deployment.postgres import identifier, literal
from rehearsal.errors import RehearsalError
from rehearsal.linux.network import port_name
from rehearsal.linux.processes import Process, start_time
from rehearsal.linux.rootfs import overlay_command, recipe_hash
from rehearsal.region import Region


def test_two_rehearsals_share_no_name_and_no_folder_but_the_cache() -> None:
    usual, other = Region(), Region("tests")
    assert usual.namespace == "airkiln"
    assert usual.namespace != other.namespace
    assert usual.home != other.home
    assert usual.cache == other.cache


def test_no_rehearsal_takes_the_machines_of_another_for_its_own() -> None:
    usual, other = Region(), Region("tests")
    assert not other.machine_namespace("i-0").startswith(usual.machine_namespace(""))
    assert not usual.machine_namespace("i-0").startswith(other.machine_namespace(""))


@pytest.mark.parametrize("name", ["../etc", "With Space", "a" * 13, "a-b"])
def test_a_name_that_could_leave_its_folder_is_refused(name: str) -> None:
    with pytest.raises(RehearsalError, match="AIRKILN_REHEARSAL"):
        Region(name)


def test_a_port_name_fits_the_kernel_and_tells_instances_apart() -> None:
    names = {port_name("i-0123456789abcdef0"), port_name("i-0123456789abcdef1"), port_name("postgres")}
    assert len(names) == 3
    assert all(len(name) <= 15 for name in names)


def test_the_recipe_changes_with_the_local_certificates(tmp_path: Path) -> None:
    without = recipe_hash(tmp_path)
    (tmp_path / "company.crt").write_text("a certificate")
    assert recipe_hash(tmp_path) != without
    assert recipe_hash(tmp_path / "nowhere") == without


def test_the_top_layer_is_named_first() -> None:
    command = overlay_command([Path("/top"), Path("/base")], Path("/u"), Path("/w"), Path("/root"))
    assert "lowerdir=/top:/base," in command


def test_sql_is_quoted() -> None:
    assert literal("it's") == "'it''s'"
    assert identifier('a"b') == '"a""b"'
    with pytest.raises(RehearsalError, match="NUL"):
        literal("a\0b")
    with pytest.raises(RehearsalError, match="no name"):
        identifier("")


def test_a_record_of_a_process_is_not_fooled_by_a_reused_id(tmp_path: Path) -> None:
    own = Process.of(os.getpid())
    assert own is not None
    own.write(tmp_path / "own.json")
    assert Process.read(tmp_path / "own.json") == own
    Process(own.pid, own.started + 1).write(tmp_path / "other.json")
    assert Process.read(tmp_path / "other.json") is None


def test_a_missing_or_broken_record_is_no_process(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    assert Process.read(tmp_path / "broken.json") is None
    assert Process.read(tmp_path / "missing.json") is None
    assert start_time(2**22 + 1) is None


def test_ansible_takes_no_connection_of_another_rehearsal_for_its_own() -> None:
    usual, other = (environment(Region(name))["ANSIBLE_SSH_CONTROL_PATH"] for name in ("", "tests"))
    assert usual != other
    assert usual % {"directory": "/root/.ansible/cp"} == "/root/.ansible/cp/airkiln-%h"
