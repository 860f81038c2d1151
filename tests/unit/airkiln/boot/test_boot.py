"""`airkiln boot`: from what an instance is told to its running role."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from airkiln import errors, roles
from airkiln.boot.boot import Boot
from airkiln.boot.settings import Settings, complete, read_overrides
from airkiln.cli import run as airkiln
from airkiln.errors import AirkilnError, RefusedError, UnavailableError
from airkiln.host.instance import Instance
from airkiln.host.layout import Layout
from airkiln.host.metadata import Imds, NoImdsError
from airkiln.lifecycle.model import Unit
from airkiln.parameters.rules import Parameter
from airkiln.systemd import envfile
from airkiln.systemd.notify import status
from airkiln.systemd.systemctl import systemctl
from tests.unit.airkiln.parameters.test_rules import GOOD


class Metadata(Imds):
    """Machine metadata without a network."""

    def __init__(self, found: Instance | Exception) -> None:
        super().__init__()
        self._found = found

    def identity(self) -> Instance:
        if isinstance(self._found, Exception):
            raise self._found
        return self._found

    def get(self, path: str) -> str | None:
        return None


class Memory:
    """A source of parameters that notes what it is asked for."""

    def __init__(self, values: dict[str, str]) -> None:
        self.values = values
        self.asked: list[tuple[str, tuple[str, ...]]] = []

    def read(self, environment: str, folders: tuple[str, ...]) -> list[Parameter]:
        self.asked.append((environment, folders))
        return [Parameter(name, value, f"/x/{name}") for name, value in self.values.items()]


class Machine:
    """A machine whose boot can be tried."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.found: Instance | Exception = Instance("i-1", "eu-west-1", "scheduler", "prod")
        self.source = Memory(dict(GOOD))
        self.settings: list[Settings] = []
        self.commands: list[tuple[str, ...]] = []
        self.workers: list[Unit] = []

    def boot(self) -> Boot:
        def source(settings: Settings) -> Memory:
            self.settings.append(settings)
            return self.source

        def command(*arguments: str) -> None:
            self.commands.append(arguments)

        return Boot(self.layout, lambda _: Metadata(self.found), source, command, lambda: self.workers)

    def override(self, text: str) -> None:
        self.layout.boot_toml.write_text(text)


@pytest.fixture
def instance(machine: Layout) -> Machine:
    return Machine(machine)


def test_the_tags_role_is_loaded_and_started(instance: Machine) -> None:
    instance.boot().start()
    assert instance.commands == [("start", "--no-block", "airkiln-scheduler.target")]
    assert instance.source.asked == [("prod", ("common", "scheduler"))]
    assert instance.settings[0].instance.region == "eu-west-1"
    assert envfile.read(instance.layout.run_env) == GOOD


def test_what_the_instance_is_lies_beside_without_a_secret(instance: Machine) -> None:
    instance.boot().start()
    assert json.loads(instance.layout.instance_json.read_text()) == {
        "environment": "prod",
        "role": "scheduler",
        "instance_id": "i-1",
        "region": "eu-west-1",
        "pool": None,
        "task_role": None,
    }
    assert stat.S_IMODE(instance.layout.instance_json.stat().st_mode) == 0o644


TASK_ROLE = "arn:aws:iam::123456789012:role/tasks"


def test_without_a_task_role_airflow_uses_the_instances_own(instance: Machine) -> None:
    instance.boot().start()
    assert not instance.layout.task_token.exists()
    assert [name for name in envfile.read(instance.layout.run_env) if name.startswith("AWS_CONTAINER")] == []


def test_with_a_task_role_airflow_finds_its_credentials_and_no_metadata(instance: Machine) -> None:
    instance.found = Instance("i-1", "eu-west-1", "scheduler", "prod", task_role=TASK_ROLE)
    instance.boot().start()
    found = envfile.read(instance.layout.run_env)
    assert found["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] == str(instance.layout.task_token)
    assert found["AWS_EC2_METADATA_DISABLED"] == "true"
    assert stat.S_IMODE(instance.layout.task_token.stat().st_mode) == 0o640
    assert json.loads(instance.layout.instance_json.read_text())["task_role"] == TASK_ROLE


def test_a_token_is_long_has_no_line_break_and_outlives_a_reload(instance: Machine) -> None:
    instance.found = Instance("i-1", "eu-west-1", "scheduler", "prod", task_role=TASK_ROLE)
    instance.boot().start()
    token = instance.layout.task_token.read_text()
    assert re.fullmatch("[0-9a-f]{64}", token)
    instance.boot().reload()
    assert instance.layout.task_token.read_text() == token


def test_a_tag_that_names_no_role_is_refused(instance: Machine) -> None:
    instance.found = Instance("i-1", "eu-west-1", "scheduler", "prod", task_role="tasks")
    with pytest.raises(RefusedError, match="airkiln:task-role"):
        instance.boot().start()
    assert not instance.layout.run_env.exists()


@pytest.mark.parametrize("found", [NoImdsError("nobody"), Instance("i-1", "eu-west-1", None, "prod")])
def test_without_a_role_nothing_is_done_and_said_so(
    instance: Machine, found: Instance | Exception, capfd: pytest.CaptureFixture[str]
) -> None:
    instance.found = found
    instance.boot().start()
    assert instance.commands == []
    assert not instance.layout.run_env.exists()
    assert "no role" in capfd.readouterr().err


def test_boot_toml_overrides_the_tags(instance: Machine) -> None:
    instance.override('role = "worker"\nenvironment = "test"\n')
    instance.boot().start()
    assert instance.commands == [("start", "--no-block", "airkiln-worker.target")]
    assert instance.source.asked == [("test", ("common", "worker"))]
    assert instance.settings[0].instance.region == "eu-west-1"


def test_a_host_with_a_file_of_parameters_asks_no_metadata(instance: Machine) -> None:
    instance.override('source = "file"\nfile = "/x/parameters.env"\nrole = "all"\n')
    instance.found = AssertionError("metadata was asked")
    instance.boot().start()
    assert instance.settings == [
        Settings("file", Path("/x/parameters.env"), Instance(role="all", environment="local"))
    ]
    assert instance.commands == [("start", "--no-block", "airkiln-all.target")]


def test_a_role_without_an_environment_is_refused(instance: Machine) -> None:
    instance.found = Instance("i-1", "eu-west-1", "worker", None)
    with pytest.raises(RefusedError, match="airkiln:environment"):
        instance.boot().start()
    assert instance.commands == []


def test_an_unknown_role_is_refused_with_the_known_ones(instance: Machine) -> None:
    instance.found = Instance("i-1", "eu-west-1", "wizard", "prod")
    with pytest.raises(RefusedError, match=r"'wizard' is unknown: .*webserver, scheduler, worker"):
        instance.boot().start()


def test_metadata_that_does_not_answer_is_a_failure_and_no_missing_role(instance: Machine) -> None:
    instance.found = UnavailableError("slow")
    with pytest.raises(UnavailableError):
        instance.boot().start()


def test_a_refused_configuration_starts_nothing_and_writes_nothing(instance: Machine) -> None:
    del instance.source.values[roles.FERNET_KEY]
    with pytest.raises(RefusedError, match=roles.FERNET_KEY):
        instance.boot().start()
    assert instance.commands == []
    assert list(instance.layout.run_env.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("role = ", "cannot be read as TOML"),
        ("roll = 'all'", "unknown key 'roll'"),
        ("role = 3", "role: not a text"),
        ("source = 'disk'", 'source: must be "ssm" or "file"'),
    ],
)
def test_a_wrong_boot_toml_is_refused_with_what_is_wrong(instance: Machine, text: str, words: str) -> None:
    instance.override(text)
    with pytest.raises(RefusedError, match=words):
        read_overrides(instance.layout.boot_toml)


def test_a_reload_restarts_only_the_units_whose_variables_changed(instance: Machine) -> None:
    instance.boot().start()
    instance.source.values["AIRFLOW__TRIGGERER__CAPACITY"] = "500"
    instance.boot().reload()
    assert instance.commands[1:2] == [("try-restart", "--no-block", roles.TRIGGERER_UNIT)]
    assert envfile.read(instance.layout.run_env) == instance.source.values


def test_a_reload_starts_what_the_old_parameters_did_not_call_for(instance: Machine) -> None:
    instance.boot().start()
    instance.source.values["AIRKILN_EFS_ID"] = "fs-0123456789abcdef0"
    instance.boot().reload()
    assert instance.commands[1:] == [
        ("try-restart", "--no-block", roles.EFS_TUNNEL_UNIT),
        ("start", "--no-block", roles.ROLES["scheduler"].target),
    ]


def test_a_reload_names_what_changed_and_shows_no_value(
    instance: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    instance.boot().start()
    instance.source.values[roles.JWT_KEY] = "KANARIENVOGEL-KANARIENVOGEL"
    instance.boot().reload()
    written = capfd.readouterr().err
    assert roles.JWT_KEY in written
    assert "KANARI" not in written


def test_a_changed_login_restarts_the_controllers_that_log_in_with_it(instance: Machine) -> None:
    instance.boot().start()
    instance.source.values["AIRKILN_CONTROLLER_DATABASE_PASSWORD"] = "KANARIENVOGEL"
    instance.boot().reload()
    assert instance.commands[1] == ("try-restart", "--no-block", *roles.CONTROLLERS)


def test_a_reload_that_failed_is_made_up_for_by_the_next_one(instance: Machine) -> None:
    instance.boot().start()
    instance.source.values["AIRFLOW__TRIGGERER__CAPACITY"] = "500"

    def refuse(*_: str) -> None:
        raise AirkilnError("systemd does not answer")

    with pytest.raises(AirkilnError):
        replace(instance.boot(), systemctl=refuse).reload()
    instance.boot().reload()
    assert instance.commands[1] == ("try-restart", "--no-block", roles.TRIGGERER_UNIT)
    assert not instance.layout.unfinished_reload.exists()
    instance.boot().reload()
    assert len(instance.commands) == 3


def test_a_reload_without_a_change_restarts_nothing(instance: Machine) -> None:
    instance.boot().start()
    instance.boot().reload()
    assert len(instance.commands) == 1


def test_a_refused_reload_leaves_the_running_environment(instance: Machine) -> None:
    instance.boot().start()
    before = instance.layout.run_env.read_text()
    instance.source.values[roles.JWT_KEY] = "airflow"
    with pytest.raises(RefusedError):
        instance.boot().reload()
    assert instance.layout.run_env.read_text() == before
    assert len(instance.commands) == 1


def test_a_connection_whose_authorities_are_not_on_the_host_is_refused_with_what_to_do(
    instance: Machine,
) -> None:
    path = "/etc/airkiln/database-authority.pem"
    instance.source.values[roles.DATABASE] = GOOD[roles.DATABASE].replace("=system", f"={path}")
    with pytest.raises(RefusedError, match=r"SQL_ALCHEMY_CONN: .*authority.pem .*database_authority_sha256"):
        instance.boot().start()
    assert not instance.layout.run_env.exists()
    (instance.layout.root / path.lstrip("/")).write_text("certificates")
    instance.boot().start()
    assert instance.layout.run_env.exists()


def test_a_role_does_not_change_at_a_reload(instance: Machine) -> None:
    instance.boot().start()
    instance.found = Instance("i-1", "eu-west-1", "worker", "prod")
    with pytest.raises(RefusedError, match="reboot"):
        instance.boot().reload()
    assert json.loads(instance.layout.instance_json.read_text())["role"] == "scheduler"


def test_a_target_that_cannot_be_started_is_said_in_systemds_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "systemctl"
    program.write_text('#!/bin/sh\necho "Unit $3 not found." >&2\nexit 5\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(AirkilnError, match=r"start --no-block x.target: failed: Unit x.target not found"):
        systemctl("start", "--no-block", "x.target")


@pytest.mark.parametrize(
    ("failure", "code"),
    [(RefusedError(["a: wrong"]), errors.REFUSED), (UnavailableError("b: gone"), errors.UNAVAILABLE)],
)
def test_a_failed_boot_has_its_exit_code_and_a_line_of_priority_error(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], failure: AirkilnError, code: int
) -> None:
    def fail(_: Boot) -> None:
        raise failure

    monkeypatch.setattr(Boot, "start", fail)
    journal = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{journal.st_dev}:{journal.st_ino}")
    assert airkiln(["boot"]) == code
    assert capfd.readouterr().err == f"<3>airkiln: {failure}\n"


@pytest.mark.parametrize("address", [str, lambda path: f"@{path}"], ids=["path", "abstract"])
def test_systemd_is_told_what_is_going_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: Callable[[Path], str]
) -> None:
    name = address(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0", 1))
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        status("loading")
        assert manager.recv(100) == b"STATUS=loading"


def test_nobody_to_tell_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/notify")
    status("loading")


class LateTags(Metadata):
    """Metadata of an instance whose tags come after a number of requests."""

    def __init__(self, requests: int, lifecycle: str | None) -> None:
        super().__init__(Instance("i-1", "eu-west-1"))
        self.requests, self.lifecycle = requests, lifecycle

    def identity(self) -> Instance:
        self.requests -= 1
        return Instance("i-1", "eu-west-1", "worker", "prod") if self.requests < 0 else Instance("i-1")

    def get(self, path: str) -> str | None:
        return self.lifecycle


@pytest.mark.parametrize(
    ("requests", "lifecycle", "role", "waited"),
    [
        (0, "InService", "worker", 0),
        (5, "InService", "worker", 10),
        (99, "InService", None, 60),
        (5, None, None, 0),
    ],
)
def test_an_instance_of_a_group_waits_a_minute_for_its_tags(
    tmp_path: Path, requests: int, lifecycle: str | None, role: str | None, waited: float
) -> None:
    waits: list[float] = []
    found = complete(Settings(), Layout(tmp_path), lambda _: LateTags(requests, lifecycle), waits.append)
    assert (found.instance.role, sum(waits)) == (role, waited)
