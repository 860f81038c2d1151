"""How long nothing is queued after a fault: `python -m benchmarks.failover`.

A cluster boots from the baked image: PostgreSQL, a web server, a worker that runs tasks throughout, and two
scheduler hosts, each with its own address. A fault is injected into the leader's host. The time ends when the
scheduler that took over queues the next task instance: one of the workload, or of a DAG run requested through
the REST API directly after the fault, so that there is always something to queue. The database is polled
every 10 ms. Between two runs, both hosts become ready again.

- `scheduler_sigkill`, `scheduler_sigstop`, `controller_sigkill`, `controller_sigstop`: one process on the
  leader;
- `scheduler_hangs`: its main thread waits without end, while another thread computes;
- `scheduler_loops`: its main thread computes without end, with `hung_timeout` at the least, 20 s;
- `broker_cut_off`: the leader alone does not reach its broker, with `broker_timeout` at the least, 24 s;
- `host_killed`: its network and all its processes, at once;
- `partition_both`, `partition_in`, `partition_out`: packets between the leader and PostgreSQL are dropped, in
  both directions, only those to the leader, or only those from it;
- `switchover`: from the start of the command `airkiln failover switchover`, including its own start-up;
- `database_restart`: from the first connection that PostgreSQL accepts;
- `blocking_lock`: an idle transaction of another session holds the scheduler's locks;
- `scheduler_sigkill_no_standby`: the same host has to start again;
- `killed_before_sending`: the scheduler dies between committing an instance as queued and sending it;
- `frozen`: the whole host is frozen until another leads, and then continues. Two more scenarios, across two
  takeovers and during a login, have no figure but are part of the counts below;
- `database_away`: ten minutes without a database, from its first connection until work continues;
- `controller_memory`, `controller_cpu`, `warm_scheduler_memory`, `database_at_rest`: one minute without a
  fault, for each host;
- `fence`: the part of each takeover in which the roles of older epochs lose their rights and their sessions.

PostgreSQL logs every statement with its role. After each run, the log is checked for a write by an older
epoch after the fence of a newer one (`overlaps`), and the marks of the tasks for instances that were lost,
ran twice, or stayed queued for more than 30 s (`lost_or_twice`). Both are counted in runs.

The peer is Airflow with two active schedulers at its defaults, from the same image and under the same faults.
There the surviving scheduler continues to queue by itself, so the table also has the time until it has
adopted the tasks of the dead one (`…_adopted`). The predecessor does not run on Airflow 3; its algorithm is a
model of times (`benchmarks/predecessor.py`).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import at_rest, checkpoint, predecessor, rehearsed, results
from benchmarks.campaign import ADOPTION, AIRKILN, PEER, Campaign, Line, Lines, grouped
from benchmarks.rehearsed import say
from benchmarks.results import Figure, summarise
from rehearsal.chaos.bench import Bench, boot_instrumented
from rehearsal.chaos.scenario import Need, Scenario, seed_from_environment
from rehearsal.chaos.scenarios import frozen, limits, outages, takeover
from rehearsal.chaos.scenarios.takeover import PATIENCE
from rehearsal.deployment.cluster import Cluster, Layout
from rehearsal.deployment.image import baked_image
from rehearsal.errors import RehearsalError
from rehearsal.progress import Stages
from rehearsal.region import Region

SCENARIOS = {
    scenario.name: scenario
    for scenario in (*takeover.SCENARIOS, *frozen.SCENARIOS, *limits.SCENARIOS, outages.DATABASE_AWAY)
}
"""What can be asked for."""
BUDGETS = {name: each.budget for name, each in SCENARIOS.items() if each.budget is not None}
FENCE_BUDGET = 0.25
"""Seconds."""
CONDITIONS = (
    "a rehearsal on this machine: all hosts of the cluster, PostgreSQL with its log of every statement and "
    "the AWS APIs share the two cores, and dropped packets and killed hosts are those of network namespaces "
    "and control groups; the commit is that of the publication, each run's own is in its raw line"
)


def figures(lines: Sequence[Line]) -> list[Figure]:
    """A row for each fault and subject, and what was counted over all runs."""
    made = []
    seconds, adopted = grouped(lines, "seconds"), grouped(lines, "adopted")
    models = {figure.figure: figure for figure in predecessor.figures()}
    for name, allowed in BUDGETS.items():
        for subject, budget in ((AIRKILN, allowed), (PEER, None)):
            if samples := seconds.get((name, subject)):
                made.append(summarise(name, subject, samples, budget=budget))
        if given_up := never_queued(lines, name, PEER):
            made.append(given_up)
        if samples := adopted.get((name, PEER)):
            made.append(summarise(f"{name}_adopted", PEER, samples))
        if name in models:
            made.append(models[name])
    ours = [line for line in lines if line.subject == AIRKILN]
    if taken := [each for line in ours for each in line.fences]:
        made.append(summarise("fence", AIRKILN, taken, budget=FENCE_BUDGET))
    if ours:
        made.append(counted("overlaps", len(ours), sum(bool(line.overlaps) for line in ours)))
        made.append(counted("lost_or_twice", len(ours), sum(bool(line.problems) for line in ours)))
        made.append(counted("without_a_figure", len(ours), sum(bool(line.error) for line in ours)))
    return made


def never_queued(lines: Sequence[Line], fault: str, subject: str) -> Figure | None:
    """A row for a fault after which nothing at all was queued for as long as it was waited for."""
    of_fault = [line for line in lines if (line.fault, line.subject) == (fault, subject)]
    if not of_fault or any(line.seconds is not None for line in of_fault):
        return None
    source = f"measured; nothing was queued, given up after {PATIENCE:g} s"
    return Figure(fault, subject, "s", len(of_fault), PATIENCE, PATIENCE, PATIENCE, source)


def counted(figure: str, runs: int, found: int) -> Figure:
    """A row that says in how many of all runs it was so."""
    return Figure(figure, AIRKILN, "runs", runs, found, found, found, budget=0.0)


def publish(lines: Sequence[Line], output: Path | None) -> None:
    """Write the results file."""
    made = [*figures(lines), *at_rest.known()]
    path = results.record(
        "failover", made, output, conditions=CONDITIONS, measured=checkpoint.measured(lines)
    )
    say(results.table(made))
    say(f"written to {path}")


def bench_for(region: Region, *, peer: bool, image: str | None, anew: bool) -> Bench:
    """The cluster that runs in the region, or a new one.

    :param peer: schedulers without failover controllers.
    :param image: id of the image to boot; None: this tree's, baked if there is none.
    :param anew: boot a new cluster even if one runs.
    """
    cluster = None if anew else Cluster.find(region)
    if cluster is None:
        image = image or baked_image(region, Stages(1))
        cluster = boot_instrumented(region, image, Layout(controllers=not peer))
    bench = Bench(cluster, seed=seed_from_environment())
    if bench.controllers == peer:
        raise RehearsalError("Another kind of cluster runs there; replace it with --anew.")
    return bench


def default_scenarios(*, peer: bool, adoption: bool) -> list[str]:
    """The names of the scenarios that run when none is asked for."""

    def fits(scenario: Scenario) -> bool:
        return not peer or Need.CONTROLLERS not in scenario.needs

    if adoption:
        return [name for name in SCENARIOS if name.endswith(ADOPTION)]
    return [scenario.name for scenario in takeover.SINGLE if fits(scenario)]


def main() -> None:
    """Gather, check, publish; or only one of them."""
    parser = argparse.ArgumentParser(description="Fault to the next task instance queued, by kind of fault.")
    parser.add_argument(
        "scenarios",
        nargs="*",
        choices=[*SCENARIOS, []],
        metavar="SCENARIO",
        help="only these (default: one fault each)",
    )
    parser.add_argument(
        "--runs", type=int, default=50, help="of each scenario, in all (default: %(default)s)"
    )
    parser.add_argument("--peer", action="store_true", help="two schedulers without a controller")
    parser.add_argument(
        "--adoption", action="store_true", help="with --peer: the scenarios that wait for the adoption"
    )
    parser.add_argument("--image", metavar="ID", help="boot this one (default: this tree's, baked if needed)")
    parser.add_argument("--anew", action="store_true", help="boot a new cluster where one runs")
    parser.add_argument("--keep", action="store_true", help="leave the cluster running")
    parser.add_argument("--at-rest", action="store_true", help="first, what a host uses at rest")
    parser.add_argument("--publish", action="store_true", help="only write the results, from what there is")
    parser.add_argument("--output", type=Path, help="default: benchmarks/results/failover.json")
    options = parser.parse_args()
    lines = Lines()
    if not options.publish:
        with rehearsed.region(keep=options.keep) as region:
            bench = bench_for(region, peer=options.peer, image=options.image, anew=options.anew)
            if options.at_rest:
                at_rest.save(at_rest.measure(bench.cluster))
            campaign = Campaign(bench, lines)
            names = options.scenarios or default_scenarios(peer=options.peer, adoption=options.adoption)
            for name in names:
                campaign.gather(name, options.runs)
    publish(list(lines), options.output)


if __name__ == "__main__":
    main()
