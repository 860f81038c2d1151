"""`airkiln signal`: signals CloudFormation that the role of this instance is healthy, or that it has failed.

A stack that creates an instance or a group waits for one signal from each instance (CreationPolicy). The tag
airkiln:signal names what waits: `<stack>/<logical id>`. Without the tag nothing is done. The signal follows
the state of the units that the role's target wants, and the health page of the web server. It asks
dependencies, unlike what replaces a running web server (airkiln_airflow/liveness.py).
"""

from __future__ import annotations

import json
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from airkiln.aws.clients import CallTimeouts, create_client, describe_error, error_code, errors, open_session
from airkiln.errors import AirkilnError, DeniedError, NotPermittedError, RefusedError, UnavailableError
from airkiln.host.environment import read_optional
from airkiln.host.layout import Layout
from airkiln.host.metadata import Imds, NoImdsError, made_by_amazon
from airkiln.roles import FAILOVER_UNIT, FOLLOWERS, ROLES, WEBSERVER_UNIT
from airkiln.systemd.journal import ERROR, NOTICE, say
from airkiln.systemd.systemctl import show

TAG = "airkiln:signal"
SUCCESS = "SUCCESS"
FAILURE = "FAILURE"
POLL_EVERY = 1.0
"""Seconds between two observations of the units."""
REPORT_EVERY = 60.0
"""Seconds between two lines about what is not ready."""
ATTEMPTS = 6
"""Tries of the signal, with waits of 2 to 32 s between: about a minute."""
JOURNALCTL_TIMEOUT = 30
"""Seconds for one journalctl."""
HEALTH = "/api/v2/monitor/health"
"""Airflow answers to it below any prefix and without."""
HEALTH_TIMEOUT = 5
_OWN_SERVER = ssl.create_default_context()
"""On its own machine the server is asked by an address that no certificate names."""
_OWN_SERVER.check_hostname = False
_OWN_SERVER.verify_mode = ssl.CERT_NONE
BOOT_UNIT = "airkiln-boot.service"
OWN_UNIT = "airkiln-signal.service"
JOURNAL_LINES = 5
"""Lines of a failed unit, for the console output of an instance that is gone."""

_NOT_WAITING = (
    "can not be signaled",
    "cannot be signaled",
    "does not exist",
    "is in the CREATE_COMPLETE state",
)


def health_url(variables: Mapping[str, str]) -> str:
    """Where the web server of this machine answers, by the variables that it is started with."""
    host = variables.get("AIRFLOW__API__HOST", "")
    port = variables.get("AIRFLOW__API__PORT") or "8080"
    scheme = "https" if variables.get("AIRFLOW__API__SSL_CERT") else "http"
    at = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(host, host)  # noqa: S104 - compared
    return f"{scheme}://{f'[{at}]' if ':' in at else at}:{port}{HEALTH}"


@dataclass(frozen=True)
class Unit:
    """What systemd says of one unit; `skipped` where a condition keeps it from starting."""

    name: str
    state: str
    result: str = ""
    skipped: bool = False


class System(Protocol):
    """What is read of this machine."""

    def wants(self, target: str) -> tuple[str, ...]:
        """The units that a target wants."""

    def unit(self, name: str) -> Unit:
        """The unit's present state."""

    def web_server_answers(self) -> bool:
        """Whether the web server answers on its own machine and reaches its database."""

    def last_lines(self, unit: str) -> list[str]:
        """The last lines of the unit's journal, oldest first."""


@dataclass(frozen=True)
class Systemd:
    """This machine."""

    layout: Layout = field(default_factory=Layout)

    def wants(self, target: str) -> tuple[str, ...]:
        """The target's Wants, drop-ins included."""
        return tuple(self._show(target, "Wants").get("Wants", "").split())

    def unit(self, name: str) -> Unit:
        """Its state; a unit that is not installed is skipped like one whose condition is not met."""
        shown = self._show(
            name, "ActiveState", "Result", "ConditionResult", "ConditionTimestamp", "LoadState"
        )
        inactive = shown.get("ActiveState") == "inactive"
        unmet = shown.get("ConditionResult") == "no" and bool(shown.get("ConditionTimestamp"))
        unmet = unmet or shown.get("Result") == "exec-condition"
        return Unit(
            name,
            shown.get("ActiveState", ""),
            shown.get("Result", ""),
            skipped=inactive and (unmet or shown.get("LoadState") == "not-found"),
        )

    def web_server_answers(self) -> bool:
        """One request to its health page, which answers 200 whatever the database does."""
        try:
            url = health_url(read_optional(self.layout.static_env, self.layout.run_env))
            with urllib.request.urlopen(  # noqa: S310 - http or https, to this machine
                url, timeout=HEALTH_TIMEOUT, context=_OWN_SERVER
            ) as answer:
                found = json.loads(answer.read())
                return bool(answer.status == 200 and found["metadatabase"]["status"] == "healthy")
        except (OSError, urllib.error.URLError, NotPermittedError, ValueError, KeyError, TypeError):
            return False

    def last_lines(self, unit: str) -> list[str]:
        """What journalctl gives; nothing where it gives nothing.

        Not of this boot alone: the unit's sandbox hides /proc/sys, and with it which boot this is.
        """
        command = ["journalctl", "--quiet", "--output=cat", f"--lines={JOURNAL_LINES}", f"--unit={unit}"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=JOURNALCTL_TIMEOUT, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return []
        return done.stdout.splitlines()

    @staticmethod
    def _show(unit: str, *properties: str) -> Mapping[str, str]:
        return next(iter(show(unit, *properties)), {})


@dataclass(frozen=True)
class Waiter:
    """What waits for this instance."""

    stack: str
    resource: str
    instance_id: str
    region: str | None
    role: str | None


def find_waiter(imds: Imds) -> Waiter | None:
    """What the tag names, or None. RefusedError for a tag that names nothing."""
    tag = imds.tag(TAG)
    if not tag:
        return None
    stack, _, resource = tag.partition("/")
    instance_id = imds.get("meta-data/instance-id")
    if not stack or not resource or "/" in resource or not instance_id:
        raise RefusedError(
            [f"the tag {TAG} is {tag!r}: it must be <stack>/<logical id>; correct it in the stack's template"]
        )
    return Waiter(
        stack, resource, instance_id, imds.get("meta-data/placement/region"), imds.tag("airkiln:role")
    )


def open_client(region: str | None) -> Any:  # noqa: ANN401 - botocore's clients have no type at run time
    """A CloudFormation client. The retries are those of `Signal`."""
    return create_client(open_session(), "cloudformation", region, CallTimeouts(2, 10, attempts=1))


@dataclass(frozen=True)
class Signal:
    """One run; what it touches is given to it."""

    layout: Layout = field(default_factory=Layout)
    imds: Callable[[bool], Imds] = lambda is_ec2: Imds(is_ec2=is_ec2)
    system: System = field(default_factory=Systemd)
    client: Callable[[str | None], Any] = open_client
    sleep: Callable[[float], None] = time.sleep

    def send(self) -> None:
        """Wait until the role is healthy or has failed, and signal that. Raises AirkilnError if it failed."""
        try:
            with self.imds(made_by_amazon(self.layout)) as metadata:
                waiter = find_waiter(metadata)
        except NoImdsError as error:
            say(f"no instance metadata: {error}; no stack waits for this machine")
            return
        if waiter is None:
            say(f"no {TAG} tag: no stack waits for this instance")
            return
        reasons = self._wait(waiter)
        for reason in reasons:
            say(reason, ERROR)
        sent = self._signal(waiter, FAILURE if reasons else SUCCESS)
        if reasons:
            raise AirkilnError(f"{waiter.stack}: {sent}: the role {waiter.role} did not become healthy")
        say(f"{waiter.stack}: {sent}", NOTICE)

    def _wait(self, waiter: Waiter) -> list[str]:
        """Wait for the role. Returns why it has failed; nothing once it is healthy.

        The stack's own time-out ends the wait for a role that becomes neither.
        """
        waited = 0.0
        while True:
            missing, lost = self._observe(waiter)
            if lost or not missing:
                return lost
            if waited % REPORT_EVERY == 0:
                say(f"waiting for {', '.join(missing)}")
                for unit in filter(lambda each: each.endswith(".service"), missing):
                    for line in self.system.last_lines(unit)[-1:]:
                        say(f"{unit}: {line}")
            self.sleep(POLL_EVERY)
            waited += POLL_EVERY

    def _observe(self, waiter: Waiter) -> tuple[list[str], list[str]]:
        """What is not ready yet, and why the role has failed."""
        if waiter.role not in ROLES:
            return [], [f"the role {waiter.role!r} is unknown: correct the tag airkiln:role in the template"]
        boot = self.system.unit(BOOT_UNIT)
        if boot.state == "failed":
            return [], self._failed(boot)
        if boot.state != "active":
            return [BOOT_UNIT], []
        wanted = [name for name in self.system.wants(ROLES[waiter.role].target) if name != OWN_UNIT]
        units = [unit for unit in map(self.system.unit, wanted) if not unit.skipped]
        failed = [line for unit in units if unit.state == "failed" for line in self._failed(unit)]
        # What runs on the leader alone is stopped by the controller of a standby, if there is one.
        stopped = FOLLOWERS if FAILOVER_UNIT in wanted else ()
        missing = [
            unit.name
            for unit in units
            if unit.state != "active" and not (unit.name in stopped and unit.state == "inactive")
        ]
        if not wanted:
            failed.append(f"{ROLES[waiter.role].target} wants no unit: this image does not carry the role")
        if WEBSERVER_UNIT in wanted and not missing and not self.system.web_server_answers():
            missing.append(f"an answer from {HEALTH}")
        return missing, failed

    def _failed(self, unit: Unit) -> list[str]:
        lines = [f"{unit.name}: {line}" for line in self.system.last_lines(unit.name) if line.strip()]
        return [f"{unit.name} has failed ({unit.result or 'no reason given'}); its last lines:", *lines]

    def _signal(self, waiter: Waiter, status: str) -> str:
        """Send the signal; returns a sentence. Raises DeniedError or UnavailableError where that fails."""
        client = self.client(waiter.region)
        reason = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                self.sleep(2.0**attempt)
            try:
                client.signal_resource(
                    StackName=waiter.stack,
                    LogicalResourceId=waiter.resource,
                    UniqueId=waiter.instance_id,
                    Status=status,
                )
            except errors() as error:
                code, text = error_code(error), describe_error(error)
                if code == "ValidationError" and any(words in text for words in _NOT_WAITING):
                    return f"{status} was not needed: {waiter.resource} no longer waits for a signal"
                if code in ("AccessDenied", "AccessDeniedException"):
                    raise DeniedError(
                        f"{waiter.stack}: {status} was refused: let the instance profile call "
                        "cloudformation:SignalResource on the stack"
                    ) from None
                reason = code
            else:
                return f"{status} signalled for {waiter.resource}"
        raise UnavailableError(
            f"{waiter.stack}: {status} could not be signalled ({reason}, {ATTEMPTS} times): is there a way "
            "to CloudFormation (route, VPC endpoint, DNS)?"
        )
