"""Reads the preferences of StartInstanceRefresh, and refuses those that contradict the API reference.

Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_RefreshPreferences.html. The limits are
AWS's; the wording of a refusal is AWS's where users have reported it.
"""

from __future__ import annotations

from rehearsal.aws.services.autoscaling.models import invalid
from rehearsal.aws.services.autoscaling.refresh import Preferences
from rehearsal.aws.services.patching import Moto

LONGEST_PAUSE = 172_800
"""Seconds that CheckpointDelay and BakeTime may have."""
MOST_ALARMS = 10
CHOICES = {
    "ScaleInProtectedInstances": ("Refresh", "Ignore", "Wait"),
    "StandbyInstances": ("Terminate", "Ignore", "Wait"),
}
RANGES = {
    "MinHealthyPercentage": (0, 100),
    "MaxHealthyPercentage": (100, 200),
    "CheckpointDelay": (0, LONGEST_PAUSE),
    "BakeTime": (0, LONGEST_PAUSE),
    "InstanceWarmup": (0, None),
}


def read_preferences(given: dict[str, Moto], warmup: float, *, desired_configuration: bool) -> Preferences:
    """Return the preferences of a request.

    :param warmup: seconds, where the request names none: DefaultInstanceWarmup or HealthCheckGracePeriod.
    :raises AutoscalingClientError: they contradict the API reference.
    """
    for name, (least, most) in RANGES.items():
        value = given.get(name)
        if value is not None and (value < least or (most is not None and value > most)):
            raise invalid(f"{name} must be {least} or more" + (f", and {most} at most." if most else "."))
    for name, allowed in CHOICES.items():
        if given.get(name) not in (None, *allowed):
            raise invalid(f"{name} must be one of {', '.join(allowed)}, not {given[name]}.")
    _check_percentages(given)
    checkpoints = tuple(given.get("CheckpointPercentages") or ())
    _check_checkpoints(checkpoints, delay="CheckpointDelay" in given)
    alarms = tuple((given.get("AlarmSpecification") or {}).get("Alarms") or ())
    if len(alarms) > MOST_ALARMS:
        raise invalid(f"AlarmSpecification may name {MOST_ALARMS} alarms, not {len(alarms)}.")
    if given.get("AutoRollback") and not desired_configuration:
        raise invalid(
            "The request isn't valid. The AutoRollback parameter cannot be set to true when the "
            "DesiredConfiguration parameter is empty. Set AutoRollback to false or specify a desired "
            "configuration and try again."
        )
    return Preferences(
        warmup=float(given.get("InstanceWarmup", warmup)),
        minimum=given.get("MinHealthyPercentage", 90),
        maximum=given.get("MaxHealthyPercentage"),
        checkpoints=checkpoints,
        checkpoint_delay=float(given.get("CheckpointDelay", 3600)),
        skip_matching=bool(given.get("SkipMatching")),
        auto_rollback=bool(given.get("AutoRollback")),
        protected=given.get("ScaleInProtectedInstances", "Wait"),
        standby=given.get("StandbyInstances", "Wait"),
        alarms=alarms,
        bake_time=float(given.get("BakeTime", 0)),
    )


def _check_percentages(given: dict[str, Moto]) -> None:
    minimum, maximum = given.get("MinHealthyPercentage"), given.get("MaxHealthyPercentage")
    if maximum is None:
        return
    if minimum is None:
        raise invalid("A MaxHealthyPercentage needs a MinHealthyPercentage.")
    if maximum - minimum > 100:
        raise invalid("MaxHealthyPercentage may be 100 more than MinHealthyPercentage at most.")


def _check_checkpoints(checkpoints: tuple[int, ...], *, delay: bool) -> None:
    if delay and not checkpoints:
        raise invalid("A CheckpointDelay needs CheckpointPercentages.")
    if list(checkpoints) != sorted(set(checkpoints)):
        raise invalid("CheckpointPercentages must be unique and in ascending order.")
    if any(not 1 <= each <= 100 for each in checkpoints):
        raise invalid("Each of CheckpointPercentages must be between 1 and 100.")
