"""Decides the health of a target, as DescribeTargetHealth answers it.

States and reasons are those of the API's TargetHealth. A target is ``initial`` until it has passed a health
check or failed as many as its group's UnhealthyThresholdCount, ``draining`` for the deregistration delay
after it was deregistered, and ``unused`` where no listener uses its group, or its instance does not run.
Source: the Application Load Balancers user guide, "Target health status" and "Health check reason codes".
"""

from __future__ import annotations

from dataclasses import dataclass

from rehearsal.aws.services.elbv2.models import Check


@dataclass(frozen=True)
class Facts:
    """What is known of a target; times in seconds."""

    registered_for: float | None
    """None if it is not registered."""
    draining_for: float
    """How long it still drains; 0 or less if it does not."""
    used: bool
    """Whether a listener uses its target group."""
    instance: str
    """State of the instance; ``running`` for an address."""
    served: bool
    """Whether the load balancer knows the target already."""
    check: Check | None
    """The last health check; None where there was none."""
    decided_after: float
    """As long as the failed checks take that make a new target unhealthy."""


@dataclass(frozen=True)
class Health:
    """Members of the API's TargetHealth."""

    state: str
    reason: str | None = None
    description: str | None = None


HEALTHY = Health("healthy")
DRAINING = Health("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress")
NOT_REGISTERED = Health("unused", "Target.NotRegistered", "Target is not registered to the target group")
NOT_IN_USE = Health(
    "unused",
    "Target.NotInUse",
    "Target group is not configured to receive traffic from the load balancer",
)
REGISTERING = Health("initial", "Elb.RegistrationInProgress", "Target registration is in progress")
CHECKING = Health("initial", "Elb.InitialHealthChecking", "Initial health checks in progress")
TIMEOUT = Health("unhealthy", "Target.Timeout", "Request timed out")
FAILED = Health("unhealthy", "Target.FailedHealthChecks", "Health checks failed")
TIMEOUTS = ("L4TOUT", "L6TOUT", "L7TOUT")
MISMATCH = "L7STS"
"""HAProxy's word for a status that was not expected."""


def health(facts: Facts) -> Health:
    """The health of a target."""
    if facts.registered_for is None:
        return DRAINING if facts.draining_for > 0 else NOT_REGISTERED
    if facts.instance != "running":
        return Health("unused", "Target.InvalidState", f"Target is in the {facts.instance} state")
    if not facts.used:
        return NOT_IN_USE
    if not facts.served or facts.check is None:
        return REGISTERING
    if facts.check.up:
        return HEALTHY
    return CHECKING if _undecided(facts) else _unhealthy(facts.check)


def _undecided(facts: Facts) -> bool:
    return facts.registered_for is not None and facts.registered_for < facts.decided_after


def _unhealthy(check: Check) -> Health:
    if check.result == MISMATCH:
        said = f"Health checks failed with these codes: [{check.code}]"
        return Health("unhealthy", "Target.ResponseCodeMismatch", said)
    return TIMEOUT if check.result in TIMEOUTS else FAILED
