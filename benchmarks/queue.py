"""What a queue that delivers messages again does to tasks: `python -m benchmarks.queue`.

- `killed_while_polling`: from the death of a worker that has just received a message until its task runs. The
  queue's visibility timeout is one minute;
- `stopped_while_polling`: from the start of a worker until it runs a task that was requested directly after
  the worker had stopped;
- `…_lost_failed_or_twice`: task instances of these runs, of running tasks whose message is delivered again
  (`copied`), and of tasks where the token of the copy has expired (`copied_when_expired`).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import checkpoint, rehearsed, results
from benchmarks.rehearsed import say
from benchmarks.results import Figure, summarise
from rehearsal.chaos.bench import Bench, boot_instrumented
from rehearsal.chaos.scenario import seed_from_environment
from rehearsal.chaos.scenarios import redelivery
from rehearsal.deployment.cluster import Cluster
from rehearsal.deployment.image import baked_image
from rehearsal.errors import RehearsalError
from rehearsal.progress import Stages

RUNS = results.ROOT / "build" / "queue" / "runs.jsonl"
SUBJECT = "airkiln"
CASES = {scenario.name: scenario for scenario in redelivery.SCENARIOS}
CONDITIONS = (
    "a rehearsal on this machine: the broker is the rehearsal's SQS, its visibility time-outs are real"
)


@dataclass
class Line:
    """One run."""

    case: str
    date: str
    commit: str
    image: str
    seconds: float | None = None
    problems: list[str] = field(default_factory=list)
    error: str = ""


def gather(bench: Bench, case: str, wanted: int) -> None:
    """Run a scenario until there are so many lines of it."""
    while (
        have := sum(each.case == case and not each.error for each in checkpoint.lines(RUNS, Line))
    ) < wanted:
        line = Line(case, checkpoint.now(), results.commit(), bench.cluster.image)
        try:
            outcome = CASES[case].run(bench)
            line.problems, line.seconds = outcome.problems, outcome.seconds
        except RehearsalError as problem:
            line.error = str(problem)
        checkpoint.add(line, RUNS)
        seconds = "" if line.seconds is None else f"{line.seconds:.1f} s"
        say(f"{case} {have + 1}/{wanted}: {seconds} {line.error} {'; '.join(line.problems)}".rstrip())
        if line.error:
            return


def figures(runs: list[Line]) -> list[Figure]:
    """Rows of all that was checkpoint."""
    made = []
    for case, scenario in CASES.items():
        of_case = [line for line in runs if line.case == case and not line.error]
        if not of_case:
            continue
        if seconds := [line.seconds for line in of_case if line.seconds is not None]:
            made.append(summarise(case, SUBJECT, seconds, budget=scenario.budget))
        wrong = sum(len(line.problems) for line in of_case)
        name = f"{case}_lost_failed_or_twice"
        made.append(Figure(name, SUBJECT, "tasks", len(of_case), wrong, wrong, wrong, budget=0.0))
    return made


def main() -> None:
    """Gather and publish; or only one of them."""
    parser = argparse.ArgumentParser(description="What a queue does to tasks.")
    parser.add_argument("--runs", type=int, default=20, help="of each case (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave the cluster running")
    parser.add_argument("--publish", action="store_true", help="only write the results, from what there is")
    parser.add_argument("--output", type=Path, help="default: benchmarks/results/queue.json")
    options = parser.parse_args()
    if not options.publish:
        with rehearsed.region(keep=options.keep) as region:
            cluster = Cluster.find(region) or boot_instrumented(region, baked_image(region, Stages(1)))
            bench = Bench(cluster, seed=seed_from_environment())
            for case in CASES:
                gather(bench, case, options.runs)
    runs = list(checkpoint.lines(RUNS, Line))
    made = figures(runs)
    path = results.record(
        "queue", made, options.output, conditions=CONDITIONS, measured=checkpoint.measured(runs)
    )
    say(results.table(made))
    say(f"written to {path}")


if __name__ == "__main__":
    main()
