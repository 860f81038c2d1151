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
- `metadata_away`, `live_migration`, `throttled`, `without_hook`, `clock_jumps`: scale-ins with one degraded
  dependency (rehearsal/chaos/faults/degraded.py).

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

from benchmarks import checkpoint, rehearsed, results
from benchmarks.processes import resident
from benchmarks.rehearsed import say
from benchmarks.results import Figure, summarise
from rehearsal.aws import session
from rehearsal.chaos import workload
from rehearsal.chaos.bench import Bench, boot_instrumented
from rehearsal.chaos.checkers.tasks import check_drain, task_instances
from rehearsal.chaos.faults import degraded, workers
from rehearsal.chaos.faults.workers import WorkerFault
from rehearsal.chaos.observer import Observer
from rehearsal.chaos.scenario import seed_from_environment
from rehearsal.chaos.scenarios import draining, scaling
from rehearsal.chaos.scenarios.draining import FAULTS, Drained
from rehearsal.deployment.cluster import Cluster, Layout
from rehearsal.deployment.host import LIFECYCLE_UNIT, Host
from rehearsal.deployment.image import baked_image
from rehearsal.deployment.parameters import put
from rehearsal.deployment.worker_group import WorkerGroup
from rehearsal.errors import RehearsalError
from rehearsal.progress import Stages
from rehearsal.region import Region

DEGRADED = {fault.name for fault in degraded.FAULTS}
"""Injected one at a time: the degraded dependency is everybody's."""
RUNS = results.ROOT / "build" / "drain" / "runs.jsonl"
AIRKILN, PEER = "airkiln", "airflow, scripts/systemd"
WORKERS, AT_A_TIME = 9, 6
"""Workers that are wanted, and how many drain at a time. A worker that ends is replaced while it drains."""
TASKS = 10
"""Task instances under way; each needs a second of a core, and the drains need the other core."""
APART = {"spot_notice": workers.SPOT_SECONDS / AT_A_TIME}
"""Seconds between two injections at least, by kind. Drains that all take as long would otherwise end six at a
time, and their tasks would begin again while six machines boot."""
BATCH = 100
"""Drains until the workload is ended and checked, which takes as long as its longest task."""
UNTOUCHED = 24 * 3600.0
"""Cool-down of the pool, in seconds: autoscaling must not end workers here."""
FINISHED = workload.LONGEST + 120
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
"""A task that the peer loses counts as under way, and holds up the workload, until the scheduler notices."""
CONDITIONS = (
    "a rehearsal on this machine: all instances share the two cores, and the Auto Scaling group, the Spot "
    "notice and the metadata service are the rehearsal's"
)


@dataclass
class Line:
    """Some drains, and what became of the tasks of the workload meanwhile."""

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
    """Cleared task instances that had ended all the same, before their supervisor noticed."""
    memory: list[float] = field(default_factory=list)
    """MiB that each worker's `airkiln lifecycle` uses afterwards."""
    error: str = ""


def count(subject: str, kind: str) -> int:
    """Number of drains that were checked."""
    return sum(
        len(line.drains)
        for line in checkpoint.lines(RUNS, Line)
        if (line.subject, line.kind) == (subject, kind)
    )


def drain_several(bench: Bench, fault: WorkerFault, wanted: int) -> tuple[list[Drained], list[str]]:
    """Inject a fault into workers under the workload, several at a time, until there were so many.

    :returns: the drains, and the errors; the first one ends the series.
    """
    observer, group = bench.observer, bench.worker_group
    done: list[Drained] = []
    errors: list[str] = []
    draining_now: set[str] = set()
    futures: list[Future[None]] = []
    limit = 1 if fault.name in DEGRADED else AT_A_TIME

    def one(host: Host) -> None:
        watching = Observer(bench.cluster)
        try:
            done.append(draining.drain(watching, group, fault, host))
            say(f"  {len(done)}/{wanted} {host.name}: {done[-1].running} ran, {done[-1].seconds:.0f} s")
        except RehearsalError as problem:
            errors.append(str(problem))
        finally:
            watching.close()
            draining_now.discard(host.name)

    def free() -> list[Host]:
        return [host for host in group.serving() if host.name not in draining_now]

    with ThreadPoolExecutor(limit) as threads:
        for _ in range(wanted):
            observer.wait_until("a drain has ended", lambda: len(draining_now) < limit, draining.PATIENCE)
            if errors:
                break
            if group.desired() < WORKERS:
                group.resize(WORKERS)
            (host,) = draining.busiest(observer, free)
            draining_now.add(host.name)
            futures.append(threads.submit(one, host))
            time.sleep(APART.get(fault.name, 0.0))
    for each in futures:
        each.result()  # raises what `one` does not handle
    return done, errors


def gather(bench: Bench, fault: WorkerFault, *, subject: str, wanted: int) -> None:
    """Inject and check until there are so many drains of a kind."""
    observer = bench.observer
    while (have := count(subject, fault.name)) < wanted:
        bench.reseed()
        line = Line(
            subject=subject,
            kind=fault.name,
            date=checkpoint.now(),
            commit=results.commit(),
            image=bench.cluster.image,
        )
        with workload.sustained(observer, tasks=TASKS, draw=lambda: workload.length(bench.random)):
            done, errors = drain_several(bench, fault, min(BATCH, wanted - have))
        with suppress(RehearsalError):  # what has not ended by then is lost, and the check names it
            observer.wait_until_idle(FINISHED)
        report = check_drain(observer, may_rerun=fault.may_rerun)
        line.drains = [asdict(each) for each in done]
        line.tasks, line.problems = report.tasks, report.problems
        line.reruns, line.outlived = report.reruns, report.outlived
        if subject == AIRKILN:
            line.memory = [resident(host.processes(LIFECYCLE_UNIT)) for host in bench.worker_group.serving()]
        line.error = "; ".join(errors)
        checkpoint.add(line, RUNS)
        say(f"{subject} {fault.name}: {have + len(done)}/{wanted}, {line.tasks} tasks; {line.error}")
        for problem in line.problems:
            say(f"  {problem}")
        if errors:
            return


def figures(runs: Sequence[Line]) -> list[Figure]:
    """Rows of all that was checkpoint."""
    made = []
    for subject in (AIRKILN, PEER):
        for kind in FAULTS:
            of_kind = [line for line in runs if (line.subject, line.kind) == (subject, kind)]
            if not (seconds := [float(str(d["seconds"])) for line in of_kind for d in line.drains]):
                continue
            made.append(summarise(kind, subject, seconds))
            tasks = sum(x.tasks for x in of_kind)
            wrong = sum(len(task_instances(x.problems)) for x in of_kind)
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
    runs = list(checkpoint.lines(RUNS, Line))
    made = figures(runs)
    path = results.record("drain", made, output, conditions=CONDITIONS, measured=checkpoint.measured(runs))
    say(results.table(made))
    say(f"written to {path}")


def bench_for(region: Region, *, anew: bool, peer: bool) -> Bench:
    """A cluster without a worker of its own, and a worker group beside it; for the peer always a new one."""
    group = WorkerGroup(region)
    cluster = None if anew or peer else Cluster.find(region)
    if cluster is None:
        if session.aws_running(region):
            group.remove()
        scaling.configure_pool(UNTOUCHED)
        if peer:
            put(PEER_LOST)
        cluster = boot_instrumented(region, baked_image(region, Stages(1)), Layout(schedulers=1, workers=0))
        group.create(cluster.image, desired=WORKERS)
    group.resize(WORKERS)
    group.wait_until_serving(WORKERS, 240)
    if peer:
        install_peer_unit(group)
    return Bench(cluster, seed=seed_from_environment())


def install_peer_unit(group: WorkerGroup) -> None:
    """Change the workers' units to what apache/airflow's scripts have."""
    folder = "/etc/systemd/system/airflow-worker@.service.d"
    for host in group.wait_until_serving(WORKERS):
        script = f"mkdir -p {folder} && cat > {folder}/99-peer.conf && systemctl daemon-reload"
        host.machine.execute(["sh", "-c", script], text=PEER_UNIT)
        host.systemctl("stop", LIFECYCLE_UNIT)


def main() -> None:
    """Gather and publish; or only one of them."""
    parser = argparse.ArgumentParser(description="Tasks lost by a worker's end, by kind of end.")
    parser.add_argument("kinds", nargs="*", choices=[*FAULTS, []], help="only these")
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
            bench = bench_for(region, anew=options.anew, peer=options.peer)
            usual = ["systemctl_stop"] if options.peer else [fault.name for fault in workers.FAULTS]
            for name in options.kinds or usual:
                gather(bench, FAULTS[name], subject=subject, wanted=options.runs)
    publish(options.output)


if __name__ == "__main__":
    main()
