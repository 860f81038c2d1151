"""`airkiln autoscale run|status`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from airkiln.autoscale.amazon import Amazon, Cloud
from airkiln.autoscale.apply import Applier
from airkiln.autoscale.decision import decide
from airkiln.autoscale.demand import Database, Source, by_pool
from airkiln.autoscale.model import Group, Note, Observation, State
from airkiln.autoscale.settings import Settings
from airkiln.database import controller
from airkiln.errors import RefusedError
from airkiln.host import daemon, instance
from airkiln.host.clock import boottime
from airkiln.host.environment import read_optional
from airkiln.host.instance import Instance
from airkiln.host.layout import Layout


def run(options: argparse.Namespace) -> None:
    """Run the daemon."""
    with daemon.starting():
        _run(without_controller=options.without_controller)


def _run(*, without_controller: bool) -> None:
    from airkiln.autoscale.daemon import Daemon  # noqa: PLC0415 - status does without it
    from airkiln.autoscale.figures import Figures  # noqa: PLC0415

    layout = Layout()
    settings = Settings(layout)
    here, environment = _identity(layout)
    keywords = controller.keywords(controller.variables(layout))
    database = Database(keywords, here.host, locking=without_controller)
    cloud = Amazon(here.region)
    cloud.prepare()
    applier = Applier(environment, cloud, database.leads, boottime)
    Daemon(settings, database, applier, Figures(environment, cloud)).run()


def _identity(layout: Layout) -> tuple[Instance, str]:
    here = instance.read(layout)
    if not here.environment:
        raise RefusedError(
            [
                f"{layout.instance_json}: names no environment: only an instance of one has pools to "
                "size; look at `systemctl status airkiln-boot`"
            ]
        )
    return here, here.environment


def status(options: argparse.Namespace) -> None:
    """Show every pool. Changes nothing."""
    layout = Layout()
    for name, value in read_optional(layout.aws_env).items():
        os.environ.setdefault(name, value)  # a unit has them already
    here, environment = _identity(layout)
    database = Database(controller.keywords(controller.variables(layout)), here.host)
    try:
        found = read_status(environment, Settings(layout), database, Amazon(here.region))
    finally:
        database.close()
    sys.stdout.write(json.dumps(found, indent=2) + "\n" if options.json else describe(found))


def read_status(
    environment: str,
    settings: Settings,
    database: Source,
    cloud: Cloud,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Demand and capacity, and what a leader would decide that has just begun: it terminates nothing."""
    groups = Applier(environment, cloud, lambda: False, clock).observe(settings.pools)
    totals = by_pool(database.count(), settings.pools, settings.executors)
    found = []
    for name, pool in settings.pools.items():
        group, demand = groups.get(name), totals.of(name, groups.get(name))
        decision = decide(State(), Observation(clock(), time.time(), demand, group), pool)
        note = next(action for action in decision.actions if isinstance(action, Note))
        found.append(
            {
                "pool": name,
                "queues": list(pool.queues),
                "slots": pool.slots,
                "queued": demand.queued,
                "running": sum(demand.running.values()),
                "oldest": round(demand.oldest, 1),
                "group": None if group is None else _group(group, demand.running),
                "wanted": None if group is None else note.wanted,
                "decision": note.kind.value,
                "capacity": None if group is None else note.capacity,
                "reason": note.reason,
            }
        )
    return {
        "environment": environment,
        "leads": database.leads(),
        "pools": found,
        "without_pool": dict(totals.without_pool),
    }


def _group(group: Group, running: Mapping[str, int]) -> dict[str, Any]:
    return {
        "min": group.min,
        "max": group.max,
        "desired": group.desired,
        "instances": [
            {
                "instance": each.id,
                "address": each.address,
                "state": each.lifecycle,
                "protected": each.protected,
                "running": running.get(each.address or "", 0),
            }
            for each in group.instances
        ],
    }


def describe(found: dict[str, Any]) -> str:
    """The status for a person."""
    lines = [f"decides  {'this host' if found['leads'] else 'not this host'}"]
    for pool in found["pools"]:
        group = pool["group"]
        lines.append(
            f"pool     {pool['pool']}: {pool['queued']} queued (the oldest for {pool['oldest']:g} s), "
            f"{pool['running']} running, {pool['slots']} slots a worker"
        )
        if group is None:
            lines.append("  group    unknown")
            continue
        lines.append(
            f"  group    {group['desired']} of {group['min']} to {group['max']} workers, "
            f"{pool['wanted']} wanted: {pool['decision']} ({pool['reason']})"
        )
        lines += [
            f"  worker   {each['instance']} {each['address'] or 'no address'}: {each['state']}, "
            f"{each['running']} running{', protected' if each['protected'] else ''}"
            for each in group["instances"]
        ]
    lines += [f"no pool  {queue}: {count} queued" for queue, count in found["without_pool"].items()]
    return "\n".join(lines) + "\n"
