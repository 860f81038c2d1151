"""How soon a pool of workers follows its demand: `python -m benchmarks.scaling`.

A cluster has two scheduler hosts and a group of workers that starts with none. Each run requests a task while
there is no worker (`zero_…`), then more tasks than the one worker has slots (`one_…`). Then all tasks end,
and the pool returns to zero workers.

- `…_decided`: from the first queued task instance until the group's desired capacity is raised;
- `…_running`: until a task runs on a new worker, whose machine boots in between;
- `back_at_zero`: from the end of the last task until no worker is wanted; `budget` is the cooldown and one
  cycle of ten seconds;
- `leader_lost`: the same, with the leader's host killed as soon as the first worker is being ended: its
  successor starts a cooldown of its own;
- `lost_failed_or_twice`: task instances of all runs;
- `autoscale_memory`: the memory that `airkiln-autoscale.service` uses on the leader. The emulated AWS speaks
  plain HTTP; TLS needs more;
- `demand_query`: the one query of a cycle, in Airflow's own table with a million finished task instances, 300
  queued and 200 running ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from airkiln.roles import AUTOSCALE_UNIT
from benchmarks import checkpoint, demand, rehearsed, results
from benchmarks.processes import resident
from benchmarks.rehearsed import say
from benchmarks.results import Figure, summarise
from rehearsal.aws import session
from rehearsal.chaos.bench import Bench, boot_instrumented
from rehearsal.chaos.checkers.tasks import check_drain
from rehearsal.chaos.scenario import seed_from_environment
from rehearsal.chaos.scenarios import scaling
from rehearsal.chaos.scenarios.registry import find
from rehearsal.chaos.scenarios.scaling import COOLDOWN, CYCLE
from rehearsal.deployment.cluster import Cluster, Layout
from rehearsal.deployment.image import baked_image
from rehearsal.errors import RehearsalError
from rehearsal.progress import Stages
from rehearsal.region import Region

RUNS = results.ROOT / "build" / "scaling" / "runs.jsonl"
QUERIES = RUNS.with_name("queries.jsonl")
SUBJECT = "airkiln"
DECIDED, RUNNING = 15.0, 45.0
"""Budgets, in seconds."""
QUERY = 0.020
"""Budget of the query, in seconds."""
MEMORY = 64.0
"""Budget, in MiB."""
CONDITIONS = (
    "a rehearsal on this machine: all instances share the two cores, the Auto Scaling group is the "
    "rehearsal's, and a worker's machine boots from the image in the place of an EC2 instance"
)


@dataclass
class Line:
    """One run, as it is checkpoint."""

    date: str
    commit: str
    image: str
    zero: dict[str, float] | None = None
    one: dict[str, float] | None = None
    back: float | None = None
    leader_lost: bool = False
    tasks: int = 0
    problems: list[str] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    """MiB of the leader's `airkiln autoscale`."""
    error: str = ""


@dataclass
class Queries:
    """The demand query, many times."""

    date: str
    commit: str
    seconds: list[float]


def run(bench: Bench, *, leader_lost: bool) -> Line:
    """From zero, from one, and back."""
    observer = bench.observer
    line = Line(checkpoint.now(), results.commit(), bench.cluster.image, leader_lost=leader_lost)
    try:
        outcome = find("scale_in_leader_lost" if leader_lost else "scale_out_and_in").run(bench)
        line.zero, line.one = steps(outcome.figures)
        line.back = outcome.seconds
        line.tasks, line.problems = outcome.tasks, outcome.problems
        line.memory = [resident(observer.leader().host.processes(AUTOSCALE_UNIT))]
    except RehearsalError as problem:
        line.error = str(problem)
        observer.wait_until_idle(300)
        report = check_drain(observer, may_rerun=False)
        line.tasks, line.problems = line.tasks + report.tasks, [*line.problems, *report.problems]
    return line


def steps(figures: Mapping[str, Sequence[float]]) -> list[dict[str, float]]:
    """What each scale-out took, from the scenario's figures: from zero, and from one."""
    return [
        {each: figures[f"{start}_{each}"][0] for each in ("decided", "running")} for start in ("zero", "one")
    ]


def gather_queries(runs: int = 1) -> None:
    """Time the query, unless that has been done."""
    while len(list(checkpoint.lines(QUERIES, Queries))) < runs:
        checkpoint.add(Queries(checkpoint.now(), results.commit(), demand.query_seconds()), QUERIES)


def gather(bench: Bench, *, wanted: int, leader_lost: bool) -> None:
    """Run until there are so many lines."""
    while (
        have := sum(
            each.leader_lost == leader_lost and not each.error for each in checkpoint.lines(RUNS, Line)
        )
    ) < wanted:
        line = run(bench, leader_lost=leader_lost)
        checkpoint.add(line, RUNS)
        say(f"{have + 1}/{wanted}: {describe(line)}")
        for problem in line.problems:
            say(f"  {problem}")


def describe(line: Line) -> str:
    """A run in words."""
    if line.error:
        return line.error
    parts = [
        f"{name} {step['decided']:.1f} and {step['running']:.1f} s"
        for name, step in (("from zero", line.zero), ("from one", line.one))
        if step is not None
    ]
    return f"{', '.join(parts)}, back after {line.back or 0.0:.1f} s, {line.tasks} tasks"


def figures(runs: list[Line]) -> list[Figure]:
    """Rows of all that was checkpoint."""
    made = []
    for name, all_steps in (("zero", [x.zero for x in runs]), ("one", [x.one for x in runs])):
        if found := [each for each in all_steps if each is not None]:
            for step, budget in (("decided", DECIDED), ("running", RUNNING)):
                samples = [each[step] for each in found]
                made.append(summarise(f"{name}_{step}", SUBJECT, samples, budget=budget))
    for name, lost, allowed in (
        ("back_at_zero", False, COOLDOWN + CYCLE),
        ("leader_lost", True, None),
    ):
        if back := [x.back for x in runs if x.back is not None and x.leader_lost == lost]:
            made.append(summarise(name, SUBJECT, back, budget=allowed))
    tasks, wrong = sum(x.tasks for x in runs), sum(len(x.problems) for x in runs)
    made.append(Figure("lost_failed_or_twice", SUBJECT, "tasks", tasks, wrong, wrong, wrong, budget=0.0))
    if memory := [each for line in runs for each in line.memory]:
        made.append(summarise("autoscale_memory", SUBJECT, memory, unit="MiB", budget=MEMORY))
    return made


def publish(output: Path | None) -> None:
    """Write the results file."""
    runs = list(checkpoint.lines(RUNS, Line))
    made = figures(runs)
    for line in checkpoint.lines(QUERIES, Queries):
        made.append(summarise("demand_query", SUBJECT, line.seconds, budget=QUERY))
    path = results.record("scaling", made, output, conditions=CONDITIONS, measured=checkpoint.measured(runs))
    say(results.table(made))
    say(f"written to {path}")


def bench_for(region: Region) -> Bench:
    """A cluster without a worker of its own, and an empty worker group beside it."""
    cluster = Cluster.find(region)
    if cluster is None:
        scaling.configure_pool()
        cluster = boot_instrumented(region, baked_image(region, Stages(1)), Layout(workers=0))
    bench = Bench(cluster, seed=seed_from_environment())
    if not bench.worker_group.exists():
        bench.worker_group.create(cluster.image, desired=0, maximum=scaling.MAXIMUM)
    return bench


def main() -> None:
    """Gather and publish; or only one of them."""
    parser = argparse.ArgumentParser(description="How soon a pool of workers follows its demand.")
    parser.add_argument("--runs", type=int, default=30, help="(default: %(default)s)")
    parser.add_argument(
        "--lost", type=int, default=5, help="runs that lose the leader (default: %(default)s)"
    )
    parser.add_argument("--keep", action="store_true", help="leave the cluster running")
    parser.add_argument("--publish", action="store_true", help="only write the results, from what there is")
    parser.add_argument("--output", type=Path, help="default: benchmarks/results/scaling.json")
    options = parser.parse_args()
    if not options.publish:
        with rehearsed.region(keep=options.keep) as region:
            session.require_root()
            bench = bench_for(region)
            gather(bench, wanted=options.runs, leader_lost=False)
            gather(bench, wanted=options.lost, leader_lost=True)
            gather_queries()
    publish(options.output)


if __name__ == "__main__":
    main()
