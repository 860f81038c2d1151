"""The health of a target: its states, and the reasons for them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rehearsal.aws.services.elbv2.haproxy import checks
from rehearsal.aws.services.elbv2.health import Facts, health
from rehearsal.aws.services.elbv2.models import Check

UP = Check("UP", "L7OK", "200")
REFUSED = Check("DOWN", "L4CON", "")
NEW = Facts(
    registered_for=5.0, draining_for=0, used=True, instance="running", served=True, check=UP, decided_after=30
)
KNOWN = replace(NEW, decided_after=0)


@pytest.mark.parametrize(
    ("facts", "state", "reason"),
    [
        (NEW, "healthy", None),
        (replace(NEW, served=False), "initial", "Elb.RegistrationInProgress"),
        (replace(NEW, check=None), "initial", "Elb.RegistrationInProgress"),
        (replace(NEW, check=REFUSED), "initial", "Elb.InitialHealthChecking"),
        (replace(NEW, check=REFUSED, registered_for=30.0), "unhealthy", "Target.FailedHealthChecks"),
        (replace(KNOWN, check=Check("UP 1/3", "L7STS", "503")), "healthy", None),
        (replace(KNOWN, check=Check("DOWN", "L7STS", "503")), "unhealthy", "Target.ResponseCodeMismatch"),
        (replace(KNOWN, check=Check("DOWN 1/2", "L7TOUT", "")), "unhealthy", "Target.Timeout"),
        (replace(KNOWN, check=Check("DOWN", "L4TOUT", "")), "unhealthy", "Target.Timeout"),
        (replace(NEW, used=False), "unused", "Target.NotInUse"),
        (replace(NEW, instance="stopped"), "unused", "Target.InvalidState"),
        (replace(NEW, registered_for=None, draining_for=1.0), "draining", "Target.DeregistrationInProgress"),
        (replace(NEW, registered_for=None), "unused", "Target.NotRegistered"),
    ],
)  # fmt: skip
def test_a_target_has_a_state_and_a_reason(facts: Facts, state: str, reason: str | None) -> None:
    found = health(facts)
    assert (found.state, found.reason) == (state, reason)
    assert (found.description is None) == (state == "healthy")


def test_the_description_names_the_status_that_was_not_expected() -> None:
    found = health(replace(KNOWN, check=Check("DOWN", "L7STS", "503")))
    assert found.description == "Health checks failed with these codes: [503]"


def test_checks_are_read_from_haproxys_statistics() -> None:
    answered = (
        "# pxname,svname,status,check_status,check_code,last_chk,\n"
        'targets:web,i-1,UP,L7OK,200,"fine, thanks",\n'
        "targets:web,i-2,DOWN,L4CON,,refused,\n"
        "all-targets:web,i-1,no check,,,,\n\n"
    )
    assert checks(answered) == {
        ("targets:web", "i-1"): UP,
        ("targets:web", "i-2"): Check("DOWN", "L4CON", ""),
    }
