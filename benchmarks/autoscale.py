"""How workers follow the demand: `python -m benchmarks.autoscale`.

- `simulate_million`: `airkiln autoscale simulate` as a user runs it, from a CSV file with a million task
  instances of one week to the table, with one setting.
- `week_…`: a simulated week of realistic demand (benchmarks/week.py) with one pool, under Airkiln's policy
  and under other policies with the same machines (src/airkiln/simulation/peers.py names their sources): how
  long tasks wait for a slot, what the workers cost, how often the capacity changes, and how often a worker is
  ended less than one cooldown after a scale-out.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from airkiln.pools.model import Pool
from airkiln.simulation.history import Tasks
from airkiln.simulation.outcomes import OURS, measure, percentiles
from airkiln.simulation.peers import PEERS
from airkiln.simulation.policies import Airkiln, Policy
from airkiln.simulation.queueing import WorkerGroup
from airkiln.simulation.replay import replay
from airkiln.simulation.settings import Shape
from benchmarks import results, week
from benchmarks.results import Figure

MILLION = 1_000_000
BUDGET = 10.0
"""Seconds for a million task instances and one setting."""
RUNS = 5
WEEK = 60_000
"""Task instances of the simulated week: about nine thousand a day."""
POOL = Pool("default", slots=4, queues=("default",), cooldown=300, scale_out_step=10)
SHAPE = Shape(POOL, min=0, max=40, boot=45.0)
MILLIONS = "[pools.default]\nslots = 4\nmax = 400\n"
SIMULATED = "simulated"


def million(runs: int) -> list[Figure]:
    """Seconds of the whole process. The first run warms the page cache and does not count."""
    with tempfile.TemporaryDirectory() as folder:
        history, settings = Path(folder, "week.csv"), Path(folder, "one.toml")
        week.write(week.week(MILLION), history)
        settings.write_text(MILLIONS)
        command = [
            *(sys.executable, "-m", "airkiln", "autoscale", "simulate", "--history", str(history)),
            *("--settings", str(settings), "--peers"),
        ]
        samples = []
        for _ in range(runs + 1):
            begun = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "TZ": "UTC"})
            samples.append(time.perf_counter() - begun)
    return [results.summarise("simulate_million", OURS, samples[1:], budget=BUDGET)]


def policies(tasks: Tasks) -> dict[str, tuple[Policy, int]]:
    """Ours and the peers', and the workers each keeps at least."""
    others = {name: (peer.make(POOL, tasks), peer.least) for name, peer in PEERS.items()}
    return {OURS: (Airkiln(POOL), 0), **others}


def simulated_week(count: int = WEEK) -> list[Figure]:
    """The week by every policy. Nothing in it depends on the machine."""
    tasks = week.week(count).queues["default"]
    waits: list[Figure] = []
    rest: list[Figure] = []
    for name, (policy, least) in policies(tasks).items():
        workers = replay(tasks, SHAPE, policy, least=least)
        outcome = measure("week", name, SHAPE, tasks, workers).outcome
        waits.append(waiting(name, workers, len(tasks)))
        rest += [
            single("week_wait_p95", name, "s", outcome.wait_p95),
            single("week_workers", name, "worker hours", outcome.worker_hours),
            single("week_changes", name, "changes a day", outcome.changes_per_day),
            single("week_flaps", name, "flaps", outcome.flaps),
        ]
    names = list(dict.fromkeys(each.figure for each in rest))
    return waits + [each for name in names for each in rest if each.figure == name]


def waiting(subject: str, workers: WorkerGroup, count: int) -> Figure:
    """Seconds from queued to running, of every task."""
    p50, p99, longest = (float(f"{each:.4g}") for each in percentiles(workers.waits, count, (50, 99, 100)))
    return Figure("week_wait", subject, "s", count, p50, p99, longest, SIMULATED)


def single(figure: str, subject: str, unit: str, value: float) -> Figure:
    """A figure that is one number for the whole week."""
    value = float(f"{value:.4g}")
    return Figure(figure, subject, unit, 1, value, value, value, SIMULATED)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="The simulation's speed, and a week by every policy.")
    parser.add_argument("--runs", type=int, default=RUNS, help="of a million tasks (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="default: benchmarks/results/autoscale.json")
    options = parser.parse_args()
    figures = [*million(options.runs), *simulated_week()]
    path = results.record(
        "autoscale",
        figures,
        options.output,
        conditions=f"the week has {WEEK} task instances; workers of {POOL.slots} slots, 0 to {SHAPE.max} of "
        f"them, ready after {SHAPE.boot:g} s; cool-down {POOL.cooldown:g} s",
    )
    print(results.table(figures))
    print(f"written to {path}")


if __name__ == "__main__":
    main()
