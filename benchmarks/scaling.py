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
import random
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from airkiln.roles import AUTOSCALE_UNIT
from benchmarks import demand, kept, rehearsed, results
from benchmarks.processes import resident
from benchmarks.rehearsed import say
from benchmarks.results import Figure, summarise
from rehearsal.aws import session
from rehearsal.chaos.faults import drains
from rehearsal.chaos.observer import Observer
from rehearsal.chaos.scenarios import scaling
from rehearsal.chaos.scenarios.scaling import COOLDOWN, SLOTS, Growth
from rehearsal.chaos.scenarios.takeover import make_whole
from rehearsal.deployment.cluster import Cluster
from rehearsal.deployment.image import baked_image
from rehearsal.deployment.worker_group import Fleet
from rehearsal.errors import RehearsalError
from rehearsal.progress import Stages
from rehearsal.region import Region

RUNS = results.ROOT / "build" / "scaling" / "runs.jsonl"
QUERIES = RUNS.with_name("queries.jsonl")
SUBJECT = "airkiln"
DECIDED, RUNNING = 15.0, 45.0
"""Budgets, in seconds."""
QUERY = 0.020
"""The same of the query."""
MEMORY = 64.0
"""Budget, in MiB."""
CYCLE = 10.0
"""Seconds between two decisions (airkiln.autoscale.daemon)."""
LASTS = 75.0
"""Seconds of the tasks that keep one worker full while the next one boots."""
MAXIMUM = 3
CHANCE = random.SystemRandom()
CONDITIONS = (
    "a rehearsal on this machine: all instances share the two cores, the Auto Scaling group is the "
    "rehearsal's, and a worker's machine boots from the image in the place of an EC2 instance"
)


@dataclass
class Line:
    """One run, as it is kept."""

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


def run(observer: Observer, fleet: Fleet, *, leader_lost: bool) -> Line:
    """From zero, from one, and back."""
    line = Line(kept.now(), results.commit(), observer.cluster.image, leader_lost=leader_lost)
    try:
        make_whole(observer)
        fleet.wait_until("no worker is left", lambda: fleet.desired() == 0 and not fleet.members(), 300)
        time.sleep(CHANCE.uniform(0, CYCLE))  # so that demand appears at any moment of a cycle
        line.zero = asdict(scaling.grow(observer, fleet, tasks=1, seconds=LASTS))
        line.one = asdict(scaling.grow(observer, fleet, tasks=2 * SLOTS - 1, seconds=LASTS))
        if leader_lost:
            lose_leader(observer, fleet)
        line.back = scaling.shrink(observer, fleet)
        line.memory = [resident(observer.leader().host.processes(AUTOSCALE_UNIT))]
    except RehearsalError as problem:
        line.error = str(problem)
        observer.wait_until("every task has ended", observer.idle, 300)
    verdict = drains.verdict(observer, may_rerun=False)
    line.tasks, line.problems = verdict.tasks, verdict.problems
    return line


def lose_leader(observer: Observer, fleet: Fleet) -> None:
    """Cut the power of the leader's host as soon as one worker has been told to end; it boots again."""
    leader, wanted = observer.leader(), fleet.desired()
    observer.wait_until("every task has ended", observer.idle, scaling.RUNNING)
    scaling.moment("a worker is told to end", lambda: fleet.desired() < wanted, 3 * COOLDOWN)
    leader.host.cut_power()
    observer.wait_until("another leads", lambda: observer.leads_after(leader.job), 60)
    observer.cluster.power_on(leader.host)


def gather_queries(runs: int = 1) -> None:
    """Time the query, unless that has been done."""
    while len(list(kept.lines(QUERIES, Queries))) < runs:
        kept.keep(Queries(kept.now(), results.commit(), demand.query_seconds()), QUERIES)


def gather(observer: Observer, fleet: Fleet, *, wanted: int, leader_lost: bool) -> None:
    """Run until there are so many."""
    while (
        have := sum(each.leader_lost == leader_lost and not each.error for each in kept.lines(RUNS, Line))
    ) < wanted:
        line = run(observer, fleet, leader_lost=leader_lost)
        kept.keep(line, RUNS)
        say(f"{have + 1}/{wanted}: {describe(line)}")
        for problem in line.problems:
            say(f"  {problem}")


def describe(line: Line) -> str:
    """A line for a person."""
    if line.error:
        return line.error
    parts = [
        f"{name} {Growth(**grown).decided:.1f} and {Growth(**grown).running:.1f} s"
        for name, grown in (("from zero", line.zero), ("from one", line.one))
        if grown is not None
    ]
    return f"{', '.join(parts)}, back after {line.back or 0.0:.1f} s, {line.tasks} tasks"


def figures(runs: list[Line]) -> list[Figure]:
    """Rows of all that was kept."""
    made = []
    for name, grown in (("zero", [x.zero for x in runs]), ("one", [x.one for x in runs])):
        found = [Growth(**each) for each in grown if each is not None]
        if found:
            made.append(summarise(f"{name}_decided", SUBJECT, [x.decided for x in found], budget=DECIDED))
            made.append(summarise(f"{name}_running", SUBJECT, [x.running for x in found], budget=RUNNING))
    for name, lost, budget in (
        ("back_at_zero", False, COOLDOWN + CYCLE),
        ("leader_lost", True, None),
    ):
        if back := [x.back for x in runs if x.back is not None and x.leader_lost == lost]:
            made.append(summarise(name, SUBJECT, back, budget=budget))
    tasks, wrong = sum(x.tasks for x in runs), sum(len(x.problems) for x in runs)
    made.append(Figure("lost_failed_or_twice", SUBJECT, "tasks", tasks, wrong, wrong, wrong, budget=0.0))
    if memory := [each for line in runs for each in line.memory]:
        made.append(summarise("autoscale_memory", SUBJECT, memory, unit="MiB", budget=MEMORY))
    return made


def publish(output: Path | None) -> None:
    """Write the results file."""
    runs = list(kept.lines(RUNS, Line))
    made = figures(runs)
    for line in kept.lines(QUERIES, Queries):
        made.append(summarise("demand_query", SUBJECT, line.seconds, budget=QUERY))
    path = results.record("scaling", made, output, conditions=CONDITIONS, measured=kept.measured(runs))
    say(results.table(made))
    say(f"written to {path}")


def pool(region: Region) -> tuple[Cluster, Fleet]:
    """A cluster without a worker of its own, and an empty group beside it."""
    fleet = Fleet(region)
    cluster = Cluster.find(region)
    if cluster is None:
        scaling.set_pool()
        cluster = Cluster.boot(region, baked_image(region, Stages(1)), workers=0)
        fleet.create(cluster.image, desired=0, maximum=MAXIMUM)
    return cluster, fleet


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
            cluster, fleet = pool(region)
            observer = Observer(cluster)
            gather(observer, fleet, wanted=options.runs, leader_lost=False)
            gather(observer, fleet, wanted=options.lost, leader_lost=True)
            gather_queries()
    publish(options.output)


if __name__ == "__main__":
    main()
