"""``python -m rehearsal scenario``: lists the scenarios, and runs one on a cluster."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import TextIO

from rehearsal.aws import session
from rehearsal.chaos.bench import Bench, boot_instrumented
from rehearsal.chaos.checkers.statements import check, parse
from rehearsal.chaos.instrumentation import StatementLog
from rehearsal.chaos.scenario import Need, Scenario, repeat, seed_from_environment
from rehearsal.chaos.scenarios import scaling
from rehearsal.chaos.scenarios.registry import TOPICS, find
from rehearsal.deployment.cluster import Cluster, Layout
from rehearsal.deployment.image import baked_image
from rehearsal.deployment.instances import present
from rehearsal.errors import RehearsalError
from rehearsal.linux.network import Network
from rehearsal.progress import Stages
from rehearsal.region import NAME_VARIABLE, Region

WIDTH = 28
"""Columns for a scenario's name."""


def listing() -> str:
    """One line per scenario, by topic: name, budget, description."""
    lines = []
    for topic, scenarios in TOPICS.items():
        lines.append(topic)
        for each in scenarios:
            budget = "" if each.budget is None else f"{each.budget:g} s"
            lines.append(f"  {each.name:<{WIDTH}} {budget:>6}  {each.description}")
    return "\n".join(lines)


def run(region: Region, name: str, out: TextIO = sys.stdout) -> int:
    """Run a scenario once and print the outcome. The cluster is booted if there is none, and left running.

    :returns: 0, or 1 if there was a problem.
    """
    scenario = find(name)
    stages = Stages(2 if session.aws_running(region) and _cluster(region) else 4, out)
    with stages.stage("Network, emulated AWS", region.logs / "aws.log"):
        session.start(region)
    with Network(region).visit():
        bench = bench_for(region, scenario, stages)
        log = StatementLog(bench.cluster.postgres)
        group = bench.with_worker_group(*scenario.group) if scenario.group else nullcontext()
        with stages.stage(f"Scenario {name}"), group:
            outcome = scenario.run(bench)
        report = check(parse(log.new()), unfenced_may_queue=not bench.controllers)
        bench.close()
    findings = [str(found) for found in report.findings]
    for line in (str(outcome), *findings):
        stages.note(line)
    if outcome.problems or findings:
        stages.note(repeat(name, outcome.seed))
        return 1
    return 0


def bench_for(region: Region, scenario: Scenario, stages: Stages) -> Bench:
    """The cluster that runs in the region, or a new one that has what the scenario needs."""
    cluster = Cluster.find(region)
    if cluster is None:
        if present():
            raise RehearsalError(
                f"Another environment runs in this rehearsal, and {scenario.name} needs a cluster. Name "
                f"another rehearsal ({NAME_VARIABLE}=chaos), or end this one: {region.make('rehearse-down')}."
            )
        image = baked_image(region, stages)
        with stages.stage("Cluster"):
            if Need.NO_OWN_WORKER in scenario.needs:
                scaling.configure_pool()
            cluster = boot_instrumented(region, image, layout_for(scenario))
    return Bench(cluster, seed=seed_from_environment())


def _cluster(region: Region) -> Cluster | None:
    with Network(region).visit():
        return Cluster.find(region)


def layout_for(scenario: Scenario) -> Layout:
    """The cluster that a scenario needs."""
    return Layout(
        workers=0 if Need.NO_OWN_WORKER in scenario.needs else 1,
        controllers=Need.NO_CONTROLLERS not in scenario.needs,
    )
