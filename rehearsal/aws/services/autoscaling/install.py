"""Replaces moto's Auto Scaling with the emulated one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from moto.autoscaling import models, urls
from moto.autoscaling.models import autoscaling_backends
from moto.cloudwatch.models import cloudwatch_backends

from rehearsal.aws.account import ACCOUNT, aws_region
from rehearsal.aws.services.autoscaling.backend import EmulatedAutoScaling, backend
from rehearsal.aws.services.autoscaling.models import EmulatedGroup, Member
from rehearsal.aws.services.autoscaling.policies import AverageCpu
from rehearsal.aws.services.autoscaling.reconciliation import TargetHealth
from rehearsal.aws.services.autoscaling.refreshing import AlarmState
from rehearsal.aws.services.autoscaling.responses import EmulatedResponse
from rehearsal.aws.services.autoscaling.tracking import MINUTE
from rehearsal.aws.services.patching import Substitutions
from rehearsal.aws.timers import Schedule

ADVANCE_EVERY = 0.5
"""Seconds between two checks of what waits: machines that boot or end, lifecycle actions that time out."""
CHECK_HEALTH_EVERY = 5.0
"""Seconds between two health checks. AWS says "periodically"; a minute is common there."""

_substitutions = Substitutions()


def all_healthy(_: str) -> Mapping[str, str]:
    """Say nothing against any target of a target group."""
    return {}


def unknown_cpu(_: Sequence[str]) -> float | None:
    """Know nothing of the use of processors."""
    return None


def recorded_alarm(name: str) -> str | None:
    """Return the state of an alarm in CloudWatch's records."""
    found = cloudwatch_backends[ACCOUNT][aws_region()].alarms.get(name)
    return None if found is None else str(found.state_value)


def install(
    schedule: Schedule,
    target_health: TargetHealth = all_healthy,
    alarm_state: AlarmState = recorded_alarm,
    average_cpu: AverageCpu = unknown_cpu,
) -> None:
    """Serve every later request with the emulated Auto Scaling, and keep groups up to date on the schedule.

    Install the emulated EC2 before. After ``uninstall`` the schedule must not run any more.

    :param target_health: what the load balancers say, for groups with HealthCheckType ELB.
    :param alarm_state: the state of an alarm by its name, for instance refreshes; None if there is none.
    :param average_cpu: the use of instances' processors, for target tracking policies. Where it is unknown
        they do nothing, as AWS's do without data.
    """
    _substitutions.attribute(models, "FakeAutoScalingGroup", EmulatedGroup)
    _substitutions.attribute(models, "InstanceState", Member)
    _substitutions.item(urls.url_paths, "{0}/$", EmulatedResponse.dispatch)
    _substitutions.attribute(EmulatedAutoScaling, "clock", staticmethod(schedule.clock))
    _substitutions.attribute(EmulatedAutoScaling, "target_health", staticmethod(target_health))
    _substitutions.attribute(EmulatedAutoScaling, "alarm_state", staticmethod(alarm_state))
    _substitutions.attribute(EmulatedAutoScaling, "average_cpu", staticmethod(average_cpu))
    _substitutions.attribute(autoscaling_backends, "backend", EmulatedAutoScaling)
    schedule.every(ADVANCE_EVERY, lambda: backend().advance())
    schedule.every(CHECK_HEALTH_EVERY, lambda: backend().check_health())
    schedule.every(MINUTE, lambda: backend().follow())


def uninstall() -> None:
    """Restore moto's Auto Scaling. Drop existing backends with ``autoscaling_backends.clear()``."""
    _substitutions.restore()
