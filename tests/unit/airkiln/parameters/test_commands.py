"""`airkiln parameters`: exit codes, the file it writes or leaves alone, and no value anywhere else."""

from __future__ import annotations

import stat
import traceback
from pathlib import Path

import pytest

from airkiln import errors, roles
from airkiln.cli import run as airkiln
from airkiln.host.files import Ownership
from airkiln.host.layout import Layout
from airkiln.parameters import load, ssm
from airkiln.systemd import envfile
from tests.unit.airkiln.parameters import fake_ssm
from tests.unit.airkiln.parameters.fake_ssm import FakeSsm, Fault
from tests.unit.airkiln.parameters.test_rules import GOOD
from tests.unit.airkiln.systemd.environment_values import EVERY_UTF8_BYTE, PRINTABLE_ASCII

COMMON = "/airkiln/prod/common/"
CANARY = "KANARIENVOGEL"


@pytest.fixture(autouse=True)
def _on_this_machine(machine: Layout, impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airkiln.parameters.commands.Layout", lambda: machine)


@pytest.fixture
def good(store: FakeSsm) -> FakeSsm:
    store.parameters = {COMMON + name: value for name, value in GOOD.items()}
    return store


@pytest.fixture
def output(machine: Layout) -> Path:
    machine.run_env.write_text('OLD="1"\n')
    return machine.run_env


def _source() -> ssm.SsmSource:
    return ssm.SsmSource(ssm.create_client("eu-west-1"))


def run(action: str, *arguments: str, role: str = "webserver") -> int:
    return airkiln(["parameters", action, "--environment", "prod", "--role", role, *arguments])


@pytest.mark.parametrize("count", [10, 100, 1000])
def test_any_number_of_parameters_arrives_in_the_file_byte_for_byte(
    good: FakeSsm, output: Path, count: int
) -> None:
    extra = {
        f"V{number}": f"{number}{PRINTABLE_ASCII}{EVERY_UTF8_BYTE}" for number in range(count - len(GOOD))
    }
    good.parameters = {**good.parameters, **{COMMON + name: value for name, value in extra.items()}}
    good.empty_pages = True
    good.faults = [None, fake_ssm.throttled, fake_ssm.dropped_in_the_answer]
    assert run("load", "--output", str(output)) == errors.OK
    assert envfile.read(output) == {**GOOD, **extra}


@pytest.mark.parametrize("role", roles.ROLES)
def test_every_file_is_for_its_owner_only(good: FakeSsm, output: Path, role: str) -> None:
    output.chmod(0o640)  # as an earlier release left it
    assert run("load", "--output", str(output), role=role) == errors.OK
    written = {path.name: stat.S_IMODE(path.stat().st_mode) for path in output.parent.iterdir()}
    assert written.keys() >= {output.name, "admin.env"}
    assert set(written.values()) == {0o600}


def test_root_gives_the_task_token_to_the_service_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("grp.getgrnam", lambda name: type("Group", (), {"gr_gid": {"airflow": 990}[name]}))
    assert load.service_ownership("airflow") == Ownership(0o640, uid=0, gid=990)


def test_check_prints_names_and_no_value(good: FakeSsm, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("check") == errors.OK
    written = capfd.readouterr()
    assert written.out.split() == sorted(GOOD)
    assert not any(value in written.out + written.err for value in GOOD.values())


def test_the_first_administrators_parameters_stay_out_of_the_service_users_file(
    good: FakeSsm, output: Path
) -> None:
    admin = {
        "AIRKILN_ADMIN_EMAIL": "ada@example.com",
        "AIRKILN_ADMIN_PASSWORD": "orange lamp 9",
        "AIRKILN_ADMIN_USERNAME": "ada",
    }
    good.parameters = {**good.parameters, **{f"/airkiln/prod/database/{k}": v for k, v in admin.items()}}
    assert run("load", "--output", str(output), role="database") == errors.OK
    assert envfile.read(output) == GOOD
    separate = output.with_name("admin.env")
    assert envfile.read(separate) == admin
    assert stat.S_IMODE(separate.stat().st_mode) == 0o600


def test_a_file_as_source_needs_no_aws(output: Path, tmp_path: Path) -> None:
    path = tmp_path / "parameters.env"
    path.write_text(envfile.render(GOOD))
    path.chmod(0o600)
    assert run("load", "--source", "file", "--file", str(path), "--output", str(output)) == errors.OK
    assert envfile.read(output) == GOOD


@pytest.mark.parametrize(
    ("mode", "code", "words"),
    [(0o640, errors.REFUSED, "others can read its secrets"), (None, errors.DENIED, "no such file")],
)
def test_a_file_that_cannot_serve_as_source_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], mode: int | None, code: int, words: str
) -> None:
    path = tmp_path / "parameters.env"
    if mode is not None:
        path.write_text(envfile.render(GOOD))
        path.chmod(mode)
    assert run("check", "--source", "file", "--file", str(path)) == code
    assert f"{path}: {words}" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["parameters", "check", "--environment", "prod", "--role", "wizard"], errors.REFUSED),
        (["parameters", "check", "--environment", "a/b", "--role", "worker"], errors.REFUSED),
        (
            ["parameters", "check", "--environment", "prod", "--role", "worker", "--source", "file"],
            errors.REFUSED,
        ),
        ([], errors.USAGE),
    ],
)
def test_a_wrong_command_line_has_its_exit_code(arguments: list[str], code: int) -> None:
    assert airkiln(arguments) == code


def canary(name: str, value: str) -> dict[str, str]:
    return {COMMON + name: value}


REFUSED = {
    "a newline": canary("BAD", f"{CANARY}\nx"),
    "a NUL": canary("BAD", f"{CANARY}\0x"),
    "a noncharacter": canary("BAD", f"{CANARY}\uffff"),
    "over 8 KB": canary("BAD", CANARY * 1000),
    "no variable's name": canary("BAD-NAME", CANARY),
    "a loader's name": canary("LD_PRELOAD", CANARY),
    "a broken Fernet key": canary(roles.FERNET_KEY, CANARY),
    "a short secret": canary(roles.API_KEY, CANARY),
    "a weak database password": canary(roles.DATABASE, f"postgresql://{CANARY}:airflow@{CANARY}/x"),
    "a broken URL": canary(roles.DATABASE, f"postgresql://{CANARY}:{CANARY}@[{CANARY}"),
    "an unknown port": canary(roles.DATABASE, f"postgresql://{CANARY}:admin@x:{CANARY}/x"),
}


@pytest.mark.parametrize("parameters", REFUSED.values(), ids=REFUSED)
def test_a_refused_parameter_is_named_without_its_value_and_leaves_the_old_file(
    good: FakeSsm, output: Path, capfd: pytest.CaptureFixture[str], parameters: dict[str, str]
) -> None:
    good.parameters = {**good.parameters, **parameters}
    before = sorted(entry.name for entry in output.parent.iterdir())
    assert run("load", "--output", str(output)) == errors.REFUSED
    written = capfd.readouterr()
    (path,) = parameters
    assert f"{path}: " in written.err
    assert CANARY not in written.out + written.err
    assert output.read_text() == 'OLD="1"\n'
    assert sorted(entry.name for entry in output.parent.iterdir()) == before


def test_a_missing_parameter_is_named(good: FakeSsm, output: Path, capfd: pytest.CaptureFixture[str]) -> None:
    good.parameters = {name: value for name, value in good.parameters.items() if roles.JWT_KEY not in name}
    assert run("load", "--output", str(output)) == errors.REFUSED
    assert f"{roles.JWT_KEY}: missing, and the role webserver needs it" in capfd.readouterr().err
    assert output.read_text() == 'OLD="1"\n'


FAILURES: dict[str, tuple[Fault, int]] = {
    "throttled": (fake_ssm.throttled, errors.UNAVAILABLE),
    "internal error": (fake_ssm.internal_error, errors.UNAVAILABLE),
    "dropped before an answer": (fake_ssm.dropped_before_an_answer, errors.UNAVAILABLE),
    "dropped in the answer": (fake_ssm.dropped_in_the_answer, errors.UNAVAILABLE),
    "cut off without a length": (fake_ssm.cut_off_without_a_length, errors.UNAVAILABLE),
    "access denied": (fake_ssm.access_denied, errors.DENIED),
    "not found": (fake_ssm.not_found, errors.DENIED),
    "an echo in an error": (fake_ssm.error(400, "ValidationException", CANARY), errors.DENIED),
    "an echo as the code": (fake_ssm.error(400, f"{CANARY} {CANARY}"), errors.DENIED),
}


@pytest.mark.parametrize(("fault", "code"), FAILURES.values(), ids=FAILURES)
def test_a_failure_in_the_middle_says_the_path_and_no_value_and_leaves_the_old_file(
    good: FakeSsm, output: Path, capfd: pytest.CaptureFixture[str], fault: Fault, code: int
) -> None:
    good.parameters = {
        **good.parameters,
        **{f"{COMMON}C{number}": f"{CANARY}{number}" for number in range(30)},
    }
    good.faults = [None, None, None]
    good.always = fault
    assert run("load", "--output", str(output)) == code
    written = capfd.readouterr()
    assert "/airkiln/prod/" in written.err
    assert CANARY not in written.out + written.err
    assert not any(value in written.err for value in GOOD.values() if len(value) > 8)
    assert output.read_text() == 'OLD="1"\n'


@pytest.mark.parametrize(
    "text",
    [
        "[logging]\nworker_log_server_port = 9000\n",
        "; a comment\n\n[api]\nport: 9000\n",
        "[fab]\n  auth_role_public=Admin\n",
        "\xff=1\n",
    ],
)
def test_an_option_in_airflows_own_file_is_refused_with_its_line(
    good: FakeSsm, machine: Layout, text: str
) -> None:
    machine.airflow_cfg.write_text(text, encoding="latin-1")
    with pytest.raises(errors.RefusedError) as refused:
        load.collect(_source(), "prod", roles.ROLES["webserver"], machine)
    (problem,) = refused.value.problems
    assert problem.startswith(f"{machine.airflow_cfg}: line {len(text.splitlines())} holds an option")
    assert "9000" not in problem


@pytest.mark.parametrize("text", ["", "# Left empty on purpose.\n", "\n [core]\n; x = 1\n"])
def test_a_file_without_options_is_as_good_as_none(good: FakeSsm, machine: Layout, text: str) -> None:
    machine.airflow_cfg.write_text(text)
    assert load.collect(_source(), "prod", roles.ROLES["webserver"], machine).airflow == GOOD


def test_a_file_that_cannot_be_read_is_refused(good: FakeSsm, machine: Layout) -> None:
    machine.airflow_cfg.mkdir()
    with pytest.raises(errors.RefusedError, match="cannot be read"):
        load.collect(_source(), "prod", roles.ROLES["webserver"], machine)


@pytest.mark.parametrize(("fault", "code"), FAILURES.values(), ids=FAILURES)
def test_even_a_traceback_of_a_failure_holds_no_value(
    good: FakeSsm, machine: Layout, fault: Fault, code: int
) -> None:
    del code
    good.parameters = {
        **good.parameters,
        **{f"{COMMON}C{number}": f"{CANARY}{number}" for number in range(30)},
    }
    good.faults = [None, None]
    good.always = fault
    with pytest.raises(errors.AirkilnError) as failure:
        load.collect(_source(), "prod", roles.ROLES["webserver"], machine)
    assert CANARY not in "".join(traceback.format_exception(failure.value))


def test_even_a_defect_shows_no_value(
    good: FakeSsm, output: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(values: dict[str, str]) -> str:
        raise ValueError(str(values))

    monkeypatch.setattr(envfile, "render", defect)
    assert run("load", "--output", str(output)) == errors.DEFECT
    written = capfd.readouterr()
    assert "a defect: ValueError at cli.py:" in written.err
    assert not any(value in written.out + written.err for value in GOOD.values())
    assert output.read_text() == 'OLD="1"\n'


def test_a_full_disk_is_said_and_leaves_the_old_file(
    good: FakeSsm, output: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fchmod", full)
    assert run("load", "--output", str(output)) == errors.FAILED
    assert "could not be written (No space left on device)" in capfd.readouterr().err
    assert output.read_text() == 'OLD="1"\n'
