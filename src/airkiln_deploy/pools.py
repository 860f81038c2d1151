"""A pool's settings, which every instance reads, separated from the parameters of its stack.

In `airkiln_pools` a key that begins with a small letter is a setting, as src/airkiln/pools.py has them; any
other is a parameter of cloudformation/workers.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airkiln.pools import settings as product

Json = Any

HOOK_BEATS = 100
"""Heartbeats of a lifecycle hook after which AWS terminates the instance, at the latest after two days
(docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks.html)."""
HOOK_SECONDS = 172800


def settings(given: Mapping[str, Json], concurrency: Json = None) -> dict[str, dict[str, Json]]:
    """The pools in the form of the parameter AIRKILN_POOLS.

    :param concurrency: slots of a pool that gives none: AIRFLOW__CELERY__WORKER_CONCURRENCY, or Airflow's 16.
    """
    slots = int(concurrency) if str(concurrency).isdecimal() else product.AIRFLOWS_CONCURRENCY
    return {
        str(name): {"slots": slots, "queues": [str(name)]} | _settings(own) for name, own in given.items()
    }


def _settings(own: Mapping[str, Json] | None) -> dict[str, Json]:
    return {key: value for key, value in (own or {}).items() if str(key)[:1].islower()}


def all_slots(
    given: Mapping[str, Json],
    common: Mapping[str, Json],
    templates: Mapping[str, Json],
    concurrency: Json = None,
) -> int:
    """The tasks that run at a time where every pool has as many workers as it may have.

    It is what the schedulers' [core] parallelism has to be: Airflow's own 32 keeps two workers of 16 slots
    busy, and every other one idle.

    :param common: airkiln_parameters, which every stack has.
    :param templates: the result of `template.templates`.
    :param concurrency: as for `settings`.
    """
    slots = settings(given, concurrency)
    return sum(
        int(slots[str(name)]["slots"]) * (_number(own or {}, common, templates, "MaxSize") or 0)
        for name, own in given.items()
    )


def _number(
    own: Mapping[str, Json], common: Mapping[str, Json], templates: Mapping[str, Json], parameter: str
) -> int | None:
    """A parameter of a pool's stack; None where it is not a number, which plan.py reports."""
    text = str(
        own.get(parameter, common.get(parameter, templates["workers"]["parameters"][parameter]["Default"]))
    )
    return int(text) if text.isdecimal() else None


def problems(
    given: Mapping[str, Json], common: Mapping[str, Json], templates: Mapping[str, Json]
) -> list[str]:
    """What would not work, in sentences, before anything is created.

    :param common: airkiln_parameters, which every stack has.
    :param templates: the result of `template.templates`.
    """
    named = {name: own or {} for name, own in given.items() if product.NAME.fullmatch(str(name))}
    if not named:
        return []  # plan.py reports it
    wrong, parsed = product.read(settings(named))
    found = [f"airkiln_pools.{problem}." for problem in wrong]
    for name, pool in parsed.items():
        own = named[name]
        if common.get("Broker", "sqs") == "sqs" and pool.queues != (name,):
            found.append(
                f"airkiln_pools.{name}.queues: with Broker sqs a pool has the one queue of its own name: "
                "leave it out, or choose redis."
            )
        beat = _number(own, common, templates, "DrainHeartbeatSeconds")
        most = _number(own, common, templates, "MaxSize")
        held = None if beat is None else min(HOOK_BEATS * beat, HOOK_SECONDS)
        if held is not None and pool.drain_limit > held:
            found.append(
                f"airkiln_pools.{name}.drain_limit is {pool.drain_limit:g} s, and its group would end a "
                f"drain after {held} s (a hundred times DrainHeartbeatSeconds): raise that, or lower it."
            )
        least = max((each.min for each in pool.schedule), default=0)
        if most is not None and least > most:
            found.append(
                f"airkiln_pools.{name}.schedule asks for {least} workers, and MaxSize is {most}: "
                "raise MaxSize."
            )
    return found
