"""What happens to the tasks of a worker that ends: `python -m benchmarks.drain`.

A group of workers runs a workload of tasks of 1 s to 5 min. Several workers drain at any time: when one has
ended, the same event is injected into the worker that runs the most tasks among the others. After a hundred
drains the workload ends. Each task writes its start and its end to a table of the test, and these marks
decide its result.

- `scale_in`: ended by Auto Scaling, with the drain's lifecycle hook;
- `spot_notice`: two minutes' notice, after which the instance is gone;
- `systemctl_stop`: its unit is stopped and started again;
- `reload`: a parameter changes and `systemctl reload airkiln-boot` loads it: another generation starts beside
  the draining one;
- `host_shutdown`: `systemctl poweroff`;
- `metadata_away`, `throttled`, `without_hook`, `clock_jumps`: scale-ins with one degraded dependency
  (rehearsal/chaos/faults/degraded.py).

`…` is the duration of the drain, which is how long the tasks took. `…_lost_failed_or_twice` counts task
instances. `spot_notice_rerun` is the time from clearing a task instance until it started again;
`spot_notice_outlived` counts the cleared task instances that finished before their supervisor learned of it.
`lifecycle_memory` is the memory that `airkiln-lifecycle.service` uses on a worker.

The peer is the same workload on the same machines with the worker's unit of apache/airflow's scripts/systemd,
stopped the same way (systemd's defaults KillMode=control-group and TimeoutStopSec=90s apply to it). Its
scheduler considers a task lost after 30 s without a heartbeat instead of Airflow's 300 s, so that the
workload continues; the task is lost in both cases.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks import kept, rehearsed, results
from benchmarks.processes import resident
from benchmarks.rehearsed import say
from benchmarks.results import Figure, summarise
from rehearsal.aws import session
from rehearsal.chaos.faults import degraded, drains
from rehearsal.chaos.faults.drains import Drained, Kind
from rehearsal.chaos.instrumentation import put
from rehearsal.chaos.observer import Observer
from rehearsal.chaos.scenarios import scaling
from rehearsal.deployment.cluster import Cluster, Host
from rehearsal.deployment.image import baked_image
from rehearsal.deployment.worker_group import Fleet
from rehearsal.errors import RehearsalError
from rehearsal.progress import Stages
from rehearsal.region import Region

KINDS = drains.KINDS | degraded.KINDS
RUNS = results.ROOT / "build" / "drain" / "runs.jsonl"
AIRKILN, PEER = "airkiln", "airflow, scripts/systemd"
WORKERS, AT_A_TIME = 9, 6
"""Workers that are wanted, and how many drain at a time; who ends is replaced while it drains."""
TASKS = 10
"""Under way all the while; a task costs a second of a core, and the drains need the other one."""
APART = {"spot_notice": drains.SPOT_SECONDS / AT_A_TIME}
"""Seconds between two strikes at least, by kind: those that all take as long would come six at a time, and
their tasks begin again while six machines boot."""
BATCH = 100
"""Drains until the load is ended and judged, which takes as long as its longest task."""
UNTOUCHED = 24 * 3600.0
"""Cool-down of the pool, in seconds: here workers end by what strikes them alone."""
FINISHED = drains.LONGEST + 120
RERUN_BUDGET = 15.0
"""Seconds."""
MEMORY_BUDGET = 64.0
"""MiB."""
PEER_UNIT = """\
[Service]
KillMode=control-group
TimeoutStopSec=90s
ExecStopPost=
"""
"""What of the unit differs from https://github.com/apache/airflow/tree/3.3.2/scripts/systemd."""
PEER_LOST = {"scheduler": {"AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30"}}
"""What the peer loses counts as under way, and keeps the load from going on, until the scheduler knows."""
CONDITIONS = (
    "a rehearsal on this machine: all instances share the two cores, and the Auto Scaling group, the Spot "
    "notice and the metadata service are the rehearsal's"
)


@dataclass
class Line:
    """Some strikes and the verdict on the load under them."""

    subject: str
    kind: str
    date: str
    commit: str
    image: str
    drains: list[dict[str, object]] = field(default_factory=list)
    tasks: int = 0
    problems: list[str] = field(default_factory=list)
    reruns: list[float] = field(default_factory=list)
    outlived: int = 0
    """Task instances that had ended although they were cleared, before their supervisor knew of it."""
    memory: list[float] = field(default_factory=list)
    """MiB of each worker's `airkiln lifecycle`, afterwards."""
    error: str = ""


def count(subject: str, kind: str) -> int:
    """Drains that were judged."""
    return sum(
        len(line.drains) for line in kept.lines(RUNS, Line) if (line.subject, line.kind) == (subject, kind)
    )


def strikes(observer: Observer, fleet: Fleet, kind: Kind, wanted: int) -> tuple[list[Drained], list[str]]:
    """Strike workers under the load, several at a time, until there were so many; what went wrong."""
    done: list[Drained] = []
    errors: list[str] = []
    struck: set[str] = set()
    going: list[Future[None]] = []
    limit = 1 if kind.name in degraded.KINDS else AT_A_TIME
    apart = APART.get(kind.name, 0.0)

    def one(host: Host) -> None:
        watching = Observer(observer.cluster)
        try:
            done.append(drains.drain(watching, fleet, kind, host))
            say(f"  {len(done)}/{wanted} {host.name}: {done[-1].running} ran, {done[-1].seconds:.0f} s")
        except RehearsalError as problem:
            errors.append(str(problem))
        finally:
            watching.close()
            struck.discard(host.name)

    with ThreadPoolExecutor(limit) as threads:
        for _ in range(wanted):
            observer.wait_until("a drain has ended", lambda: len(struck) < limit, drains.PATIENCE)
            if errors:
                break
            if fleet.desired() < WORKERS:
                fleet.resize(WORKERS)
            host = drains.wait_for_load(
                observer, lambda: [host for host in fleet.serving() if host.name not in struck]
            )
            struck.add(host.name)
            going.append(threads.submit(one, host))
            time.sleep(apart)
    for each in going:
        each.result()  # raises what `one` has no word for
    return done, errors


def gather(observer: Observer, fleet: Fleet, kind: Kind, *, subject: str, wanted: int) -> None:
    """Strike and judge until there are so many drains of a kind."""
    while (have := count(subject, kind.name)) < wanted:
        line = Line(
            subject=subject,
            kind=kind.name,
            date=kept.now(),
            commit=results.commit(),
            image=observer.cluster.image,
        )
        with drains.load(observer, tasks=TASKS):
            done, errors = strikes(observer, fleet, kind, min(BATCH, wanted - have))
        with suppress(RehearsalError):  # what still has not ended is lost, and the verdict names it
            observer.wait_until("every task has ended", observer.idle, FINISHED)
        found = drains.verdict(observer, may_rerun=kind.may_rerun)
        line.drains = [asdict(each) for each in done]
        line.tasks, line.problems = found.tasks, found.problems
        line.reruns, line.outlived = found.reruns, found.outlived
        if subject == AIRKILN:
            line.memory = [resident(host.processes(drains.DAEMON)) for host in fleet.serving()]
        line.error = "; ".join(errors)
        kept.keep(line, RUNS)
        say(f"{subject} {kind.name}: {have + len(done)}/{wanted}, {line.tasks} tasks; {line.error}")
        for problem in line.problems:
            say(f"  {problem}")
        if errors:
            return


def figures(runs: Sequence[Line]) -> list[Figure]:
    """Rows of all that was kept."""
    made = []
    for subject in (AIRKILN, PEER):
        for kind in KINDS:
            of_kind = [line for line in runs if (line.subject, line.kind) == (subject, kind)]
            if not (seconds := [float(str(d["seconds"])) for line in of_kind for d in line.drains]):
                continue
            made.append(summarise(kind, subject, seconds))
            tasks = sum(x.tasks for x in of_kind)
            wrong = sum(len(drains.named(x.problems)) for x in of_kind)
            budget = 0.0 if subject == AIRKILN else None
            name = f"{kind}_lost_failed_or_twice"
            made.append(Figure(name, subject, "tasks", tasks, wrong, wrong, wrong, budget=budget))
            if reruns := [each for line in of_kind for each in line.reruns]:
                made.append(summarise(f"{kind}_rerun", subject, reruns, budget=RERUN_BUDGET))
                late = sum(line.outlived for line in of_kind)
                made.append(Figure(f"{kind}_outlived", subject, "tasks", len(reruns), late, late, late))
    if memory := [each for line in runs for each in line.memory]:
        made.append(summarise("lifecycle_memory", AIRKILN, memory, unit="MiB", budget=MEMORY_BUDGET))
    return made


def publish(output: Path | None) -> None:
    """Write the results file."""
    runs = list(kept.lines(RUNS, Line))
    made = figures(runs)
    path = results.record("drain", made, output, conditions=CONDITIONS, measured=kept.measured(runs))
    say(results.table(made))
    say(f"written to {path}")


def fleet_for(region: Region, *, anew: bool, peer: bool) -> tuple[Cluster, Fleet]:
    """A cluster without a worker of its own, and a group of workers beside it; for the peer always anew."""
    fleet = Fleet(region)
    cluster = None if anew or peer else Cluster.find(region)
    if cluster is None:
        if session.aws_running(region):
            fleet.remove()
        scaling.set_pool(UNTOUCHED)
        if peer:
            put(PEER_LOST)
        cluster = Cluster.boot(region, baked_image(region, Stages(1)), schedulers=1, workers=0)
        fleet.create(cluster.image, desired=WORKERS)
    fleet.resize(WORKERS)
    fleet.wait_until_serving(WORKERS, 240)
    if peer:
        peers_way(fleet)
    return cluster, fleet


def peers_way(fleet: Fleet) -> None:
    """Have the workers' units as apache/airflow's scripts have them."""
    folder = "/etc/systemd/system/airflow-worker@.service.d"
    for host in fleet.wait_until_serving(WORKERS):
        script = f"mkdir -p {folder} && cat > {folder}/99-peer.conf && systemctl daemon-reload"
        host.machine.execute(["sh", "-c", script], text=PEER_UNIT)
        host.systemctl("stop", drains.DAEMON)


def main() -> None:
    """Gather and publish; or only one of them."""
    parser = argparse.ArgumentParser(description="Tasks lost by a worker's end, by kind of end.")
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], help="only these")
    parser.add_argument("--runs", type=int, default=100, help="of each kind (default: %(default)s)")
    parser.add_argument("--peer", action="store_true", help="the unit of apache/airflow's scripts/systemd")
    parser.add_argument("--anew", action="store_true", help="boot a new cluster where one runs")
    parser.add_argument("--keep", action="store_true", help="leave the cluster running")
    parser.add_argument("--publish", action="store_true", help="only write the results, from what there is")
    parser.add_argument("--output", type=Path, help="default: benchmarks/results/drain.json")
    options = parser.parse_args()
    if not options.publish:
        subject = PEER if options.peer else AIRKILN
        with rehearsed.region(keep=options.keep) as region:
            cluster, fleet = fleet_for(region, anew=options.anew, peer=options.peer)
            observer = Observer(cluster)
            for name in options.kinds or (["systemctl_stop"] if options.peer else drains.KINDS):
                gather(observer, fleet, KINDS[name], subject=subject, wanted=options.runs)
    publish(options.output)


if __name__ == "__main__":
    main()
