"""The states of an instance in an Auto Scaling group, and the transitions between them; nothing but data.

Sources, all of the EC2 Auto Scaling user guide: "Amazon EC2 Auto Scaling instance lifecycle"
(https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html), "How lifecycle hooks
work" (https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks-overview.html) and "Manage
retained instances" (https://docs.aws.amazon.com/autoscaling/ec2/userguide/manage-retained-instances.html).

Left out: the states of warm pools and of ReplaceRootVolume, and ``Quarantined``, which AWS does not use.
"""

from __future__ import annotations

from typing import Final

PENDING: Final = "Pending"
PENDING_WAIT: Final = "Pending:Wait"
PENDING_PROCEED: Final = "Pending:Proceed"
IN_SERVICE: Final = "InService"
ENTERING_STANDBY: Final = "EnteringStandby"
STANDBY: Final = "Standby"
DETACHING: Final = "Detaching"
DETACHED: Final = "Detached"
TERMINATING: Final = "Terminating"
TERMINATING_WAIT: Final = "Terminating:Wait"
TERMINATING_PROCEED: Final = "Terminating:Proceed"
TERMINATING_RETAINED: Final = "Terminating:Retained"
TERMINATED: Final = "Terminated"

TRANSITIONS: Final = {
    # An instance that does not start, or whose launch a hook abandons, ends before it was in service.
    PENDING: {PENDING_WAIT, IN_SERVICE, TERMINATING},
    PENDING_WAIT: {PENDING_PROCEED, TERMINATING},
    PENDING_PROCEED: {IN_SERVICE, TERMINATING},
    IN_SERVICE: {ENTERING_STANDBY, DETACHING, TERMINATING},
    ENTERING_STANDBY: {STANDBY, TERMINATING},
    STANDBY: {PENDING, DETACHING, TERMINATING},
    DETACHING: {DETACHED},
    DETACHED: set[str](),
    # Without a hook, EC2 terminates an instance that is Terminating.
    TERMINATING: {TERMINATING_WAIT, TERMINATED},
    TERMINATING_WAIT: {TERMINATING_PROCEED},
    TERMINATING_PROCEED: {TERMINATING_RETAINED, TERMINATED},
    # A request to terminate it runs the hooks again; a request to detach it hands it over.
    TERMINATING_RETAINED: {TERMINATING, DETACHING},
    TERMINATED: set[str](),
}
"""The states that may follow each state."""

LAUNCHED: Final = {PENDING, IN_SERVICE}
"""States in which an instance may join a group."""
COUNTED: Final = {PENDING, PENDING_WAIT, PENDING_PROCEED, IN_SERVICE}
"""States that count towards the desired capacity."""
ENDING: Final = {TERMINATING, TERMINATING_WAIT, TERMINATING_PROCEED}
"""States of a termination that has begun and is not given up."""
PROTECTABLE: Final = {IN_SERVICE, ENTERING_STANDBY, STANDBY}
"""States in which SetInstanceProtection is accepted."""
TARGETS: Final = {
    PENDING: IN_SERVICE,
    PENDING_WAIT: IN_SERVICE,
    PENDING_PROCEED: IN_SERVICE,
    IN_SERVICE: IN_SERVICE,
    ENTERING_STANDBY: STANDBY,
    STANDBY: STANDBY,
    DETACHING: DETACHED,
    DETACHED: DETACHED,
}
"""Metadata autoscaling/target-lifecycle-state by lifecycle state; in all others it is Terminated."""

LAUNCHING_HOOK: Final = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING_HOOK: Final = "autoscaling:EC2_INSTANCE_TERMINATING"
HOOKS: Final = (LAUNCHING_HOOK, TERMINATING_HOOK)
"""LifecycleTransition of PutLifecycleHook."""


class ImpossibleTransitionError(RuntimeError):
    """The emulation took an instance to a state that AWS documents no way to."""


def check_transition(before: str | None, after: str) -> None:
    """Refuse a transition that is not documented. ``before`` is None for an instance that joins a group.

    :raises ImpossibleTransitionError: it is a defect of this package.
    """
    allowed = LAUNCHED if before is None else TRANSITIONS[before]
    if after not in allowed:
        raise ImpossibleTransitionError(
            f"{before} → {after} is not a transition of an Auto Scaling instance."
        )
