"""`airkiln signal`: what a waiting stack is told of an instance."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from airkiln.boot.stack_signal import ATTEMPTS, REPORT_EVERY, Signal, Systemd, Unit, health_url
from airkiln.errors import AirkilnError, DeniedError, RefusedError, UnavailableError
from airkiln.host.layout import Layout
from airkiln.roles import FAILOVER_UNIT, FOLLOWERS, SCHEDULER_UNIT, TRIGGERER_UNIT
from tests.unit.airkiln.boot.known_metadata import Metadata

METADATA = {
    "meta-data/instance-id": "i-1",
    "meta-data/placement/region": "eu-west-1",
    "meta-data/tags/instance/airkiln:role": "webserver",
    "meta-data/tags/instance/airkiln:signal": "airkiln-prod-webserver/Group",
}


def refusal(code: str, message: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "SignalResource")


@dataclass
class Machine:
    """An instance, its units and the CloudFormation that it talks to."""

    metadata: dict[str, str] | None = field(default_factory=lambda: dict(METADATA))
    role: str = "webserver"
    target: tuple[str, ...] = ("airflow-webserver.service", "airkiln-signal.service")
    states: dict[str, str] = field(
        default_factory=lambda: {"airkiln-boot.service": "active", "airflow-webserver.service": "active"}
    )
    skipped: tuple[str, ...] = ()
    answers: bool = True
    refusals: list[Exception] = field(default_factory=list)
    meanwhile: list[Callable[[], None]] = field(default_factory=list)
    signals: list[dict[str, str]] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    clients: int = 0

    def run(self) -> None:
        Signal(
            Layout(Path("/nowhere")), lambda _: Metadata(self._tagged()), self, self._client, self._sleep
        ).send()

    def _tagged(self) -> dict[str, str] | None:
        """The metadata, with the role of this machine unless it has another."""
        role = {"meta-data/tags/instance/airkiln:role": self.role} if self.role != "webserver" else {}
        return None if self.metadata is None else self.metadata | role

    def _client(self, region: str | None) -> Machine:
        assert region == "eu-west-1"
        self.clients += 1
        return self

    def signal_resource(self, **given: str) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.signals.append(given)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        assert len(self.slept) < 1000, "it would wait for ever"
        if self.meanwhile:
            self.meanwhile.pop(0)()

    def wants(self, target: str) -> tuple[str, ...]:
        return self.target if target == f"airkiln-{self.role}.target" else ()

    def unit(self, name: str) -> Unit:
        return Unit(name, self.states.get(name, "inactive"), "exit-code", name in self.skipped)

    def web_server_answers(self) -> bool:
        return self.answers

    def last_lines(self, unit: str) -> list[str]:
        return [f"what {unit} said last"]


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_a_healthy_role_is_signalled_once_under_the_instances_own_name(machine: Machine) -> None:
    machine.run()
    assert machine.signals == [
        {
            "StackName": "airkiln-prod-webserver",
            "LogicalResourceId": "Group",
            "UniqueId": "i-1",
            "Status": "SUCCESS",
        }
    ]


def test_without_the_tag_boto_is_not_even_loaded(machine: Machine) -> None:
    machine.metadata = {"meta-data/instance-id": "i-1"}
    machine.run()
    assert machine.clients == 0


def test_without_instance_metadata_no_stack_waits(machine: Machine) -> None:
    machine.metadata = None
    machine.run()
    assert machine.clients == 0


@pytest.mark.parametrize("tag", ["Group", "/Group", "stack/", "a/b/c"])
def test_a_tag_that_names_nothing_is_refused(machine: Machine, tag: str) -> None:
    machine.metadata = METADATA | {"meta-data/tags/instance/airkiln:signal": tag}
    with pytest.raises(RefusedError, match="<stack>/<logical id>"):
        machine.run()


def test_success_waits_until_the_last_unit_is_active(machine: Machine) -> None:
    machine.states["airflow-webserver.service"] = "activating"
    machine.meanwhile = [
        lambda: None,
        lambda: machine.states.update({"airflow-webserver.service": "active"}),
    ]
    machine.run()
    assert len(machine.slept) == 2
    assert machine.signals[0]["Status"] == "SUCCESS"


def test_success_waits_until_the_boot_path_has_loaded_the_parameters(machine: Machine) -> None:
    machine.states["airkiln-boot.service"] = "activating"
    machine.meanwhile = [lambda: machine.states.update({"airkiln-boot.service": "active"})]
    machine.run()
    assert len(machine.slept) == 1


def test_an_active_web_server_that_does_not_answer_is_waited_for(machine: Machine) -> None:
    machine.answers = False
    machine.meanwhile = [lambda: setattr(machine, "answers", True)]
    machine.run()
    assert len(machine.slept) == 1
    assert machine.signals[0]["Status"] == "SUCCESS"


SCHEDULER_HOST = (SCHEDULER_UNIT, TRIGGERER_UNIT, FAILOVER_UNIT)


@pytest.fixture
def standby(machine: Machine) -> Machine:
    """A scheduler host whose controller has stopped what runs on the leader alone."""
    machine.role, machine.target = "scheduler", (*SCHEDULER_HOST, *FOLLOWERS)
    machine.states |= dict.fromkeys(SCHEDULER_HOST, "active")
    return machine


def test_what_a_standbys_controller_has_stopped_is_not_waited_for(standby: Machine) -> None:
    standby.run()
    assert standby.signals[0]["Status"] == "SUCCESS"
    assert standby.slept == []


@pytest.mark.parametrize("unit", FOLLOWERS)
def test_what_a_leader_starts_is_waited_for(standby: Machine, unit: str) -> None:
    standby.states[unit] = "activating"
    standby.meanwhile = [lambda: standby.states.update({unit: "active"})]
    standby.run()
    assert len(standby.slept) == 1


@pytest.mark.parametrize("unit", FOLLOWERS)
def test_without_a_controller_every_host_has_what_its_target_wants(standby: Machine, unit: str) -> None:
    standby.target = (SCHEDULER_UNIT, TRIGGERER_UNIT, unit)
    standby.meanwhile = [lambda: standby.states.update({unit: "active"})]
    standby.run()
    assert len(standby.slept) == 1


def test_a_unit_that_a_condition_skips_is_not_waited_for(machine: Machine) -> None:
    machine.target = (*machine.target, "airkiln-efs-tunnel.service")
    machine.skipped = ("airkiln-efs-tunnel.service",)
    machine.run()
    assert machine.signals[0]["Status"] == "SUCCESS"


@pytest.mark.parametrize("unit", ["airkiln-boot.service", "airflow-webserver.service"])
def test_a_failed_unit_is_a_failure_with_its_last_lines(
    machine: Machine, unit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.states[unit] = "failed"
    with pytest.raises(AirkilnError, match="webserver did not become healthy"):
        machine.run()
    assert machine.signals[0]["Status"] == "FAILURE"
    said = capsys.readouterr().err
    assert f"{unit} has failed (exit-code)" in said
    assert f"{unit}: what {unit} said last" in said


def test_an_unknown_role_is_a_failure_at_once(machine: Machine) -> None:
    machine.metadata = METADATA | {"meta-data/tags/instance/airkiln:role": "wizard"}
    with pytest.raises(AirkilnError):
        machine.run()
    assert (machine.signals[0]["Status"], machine.slept) == ("FAILURE", [])


def test_an_image_that_does_not_carry_the_role_is_a_failure(machine: Machine) -> None:
    machine.target = ("airkiln-signal.service",)
    with pytest.raises(AirkilnError):
        machine.run()
    assert machine.signals[0]["Status"] == "FAILURE"


@pytest.mark.parametrize(
    "message",
    [
        "Resource Group is in the CREATE_COMPLETE state and can not be signaled",
        "Stack [airkiln-prod-webserver] does not exist",
    ],
)
def test_a_reboot_signals_into_a_finished_stack_and_fails_nothing(machine: Machine, message: str) -> None:
    machine.refusals = [refusal("ValidationError", message)]
    machine.run()
    assert machine.signals == []


def test_a_throttled_signal_is_sent_again(machine: Machine) -> None:
    machine.refusals = [refusal("Throttling"), EndpointConnectionError(endpoint_url="https://x")]
    machine.run()
    assert len(machine.signals) == 1
    assert machine.slept == [2, 4]


def test_a_signal_that_never_arrives_is_a_failure_after_bounded_tries(machine: Machine) -> None:
    machine.refusals = [refusal("Throttling")] * 100
    with pytest.raises(UnavailableError, match=f"Throttling, {ATTEMPTS} times"):
        machine.run()
    assert len(machine.refusals) == 100 - ATTEMPTS


def test_a_signal_that_is_denied_names_what_to_allow(machine: Machine) -> None:
    machine.refusals = [refusal("AccessDenied")]
    with pytest.raises(DeniedError, match="cloudformation:SignalResource"):
        machine.run()


def test_what_is_waited_for_is_said_once_a_minute_with_what_it_said_last(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.states["airflow-webserver.service"] = "activating"
    machine.meanwhile = [lambda: None] * int(2 * REPORT_EVERY - 1)
    machine.meanwhile.append(lambda: machine.states.update({"airflow-webserver.service": "active"}))
    machine.run()
    said = capsys.readouterr().err
    assert said.count("waiting for airflow-webserver.service") == 2
    assert said.count("airflow-webserver.service: what airflow-webserver.service said last") == 2


@pytest.mark.parametrize(
    ("shown", "skipped"),
    [
        ("ActiveState=inactive\nConditionResult=no\nConditionTimestamp=Mon\nLoadState=loaded", True),
        ("ActiveState=inactive\nConditionResult=no\nConditionTimestamp=\nLoadState=loaded", False),
        ("ActiveState=inactive\nConditionResult=yes\nConditionTimestamp=Mon\nLoadState=loaded", False),
        ("ActiveState=inactive\nConditionResult=no\nConditionTimestamp=\nLoadState=not-found", True),
        ("ActiveState=inactive\nConditionResult=yes\nResult=exec-condition\nLoadState=loaded", True),
        ("ActiveState=activating\nConditionResult=no\nConditionTimestamp=Mon\nLoadState=loaded", False),
    ],
)
def test_a_unit_counts_as_skipped_only_when_systemd_has_looked_or_has_none(
    shown: str, skipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "systemctl"
    program.write_text(f"#!/bin/sh\nprintf '%s' '{shown}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert Systemd().unit("x.service").skipped is skipped


@pytest.mark.parametrize(
    ("body", "ready"),
    [
        ('{"metadatabase": {"status": "healthy"}}', True),
        ('{"metadatabase": {"status": "unhealthy"}}', False),
        ("{}", False),
        ("[]", False),
        ("starting", False),
    ],
)
def test_a_web_server_is_ready_once_it_reaches_its_database(tmp_path: Path, body: str, ready: bool) -> None:
    """Airflow's page answers 200 whatever the database does."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        layout = Layout(tmp_path)
        layout.static_env.parent.mkdir(parents=True)
        layout.static_env.write_text(f'AIRFLOW__API__PORT="{server.server_port}"\n')
        assert Systemd(layout).web_server_answers() is ready


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"HOST": "0.0.0.0", "PORT": "9090"}, "http://127.0.0.1:9090"),
        ({"HOST": "::"}, "http://127.0.0.1:8080"),
        ({"HOST": "::1"}, "http://[::1]:8080"),
        ({"HOST": "10.20.0.7", "SSL_CERT": "/etc/ssl/web.pem"}, "https://10.20.0.7:8080"),
    ],
)
def test_a_web_server_is_asked_where_it_listens(variables: dict[str, str], url: str) -> None:
    given = {f"AIRFLOW__API__{name}": value for name, value in variables.items()}
    assert health_url(given) == f"{url}/api/v2/monitor/health"
