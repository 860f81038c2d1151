"""A week of task instances as they come in practice, from a seed: the same history from the same seed.

- Schedules: most tasks come at full hours and quarters, within the first minute or two, more by day.
- People: by day, Monday to Friday, tasks come at any moment, with two peaks.
- A backfill: in the night to Wednesday what usually comes in a day is queued within minutes.
- Durations are log-normal: half last less than 40 s, one in a hundred more than ten minutes.
"""

from __future__ import annotations

import csv
import math
import random
from array import array
from pathlib import Path

from airkiln.simulation.history import History, Tasks

BEGIN = 1_780_876_800.0
"""Monday, 8 June 2026, 00:00 UTC."""
HOUR, DAY = 3600.0, 86400.0
DAYS = 7
SEED = 20261121
MEDIAN, SPREAD = 40.0, 1.15
"""Of the log-normal durations: seconds, and the deviation of the logarithm."""
LONGEST = 6 * HOUR
BACKFILL = BEGIN + 2 * DAY + 1 * HOUR
BACKFILL_LASTS = 600.0
"""Seconds over which a backfill's tasks are queued."""
SHARES = {"schedules": 0.58, "people": 0.38, "backfill": 0.04}
"""Of all tasks."""


def by_day(moment: float) -> float:
    """How busy people are: 0 to 1, by hour (UTC) and day, with peaks at ten and at three."""
    day, hour = int((moment - BEGIN) // DAY), (moment - BEGIN) % DAY / HOUR
    peaks = math.exp(-(((hour - 10) / 1.8) ** 2)) + 0.8 * math.exp(-(((hour - 15) / 2.0) ** 2))
    return min(1.0, 0.02 + peaks * (1.0 if day < 5 else 0.08))


def week(tasks: int, seed: int = SEED, queue: str = "default") -> History:
    """About so many task instances of one queue."""
    draw = random.Random(seed)
    moments = [
        *_schedules(draw, round(tasks * SHARES["schedules"])),
        *_people(draw, round(tasks * SHARES["people"])),
        *(BACKFILL + draw.random() * BACKFILL_LASTS for _ in range(round(tasks * SHARES["backfill"]))),
    ]
    moments.sort()
    seconds = (min(draw.lognormvariate(math.log(MEDIAN), SPREAD), LONGEST) for _ in moments)
    return History({queue: Tasks(array("d", moments), array("d", seconds))})


def _schedules(draw: random.Random, count: int) -> list[float]:
    """Bursts at full hours, smaller ones at the quarters, half as many by night."""
    quarters = [BEGIN + number * HOUR / 4 for number in range(DAYS * 24 * 4)]
    weights = [(1.0 if quarter % HOUR == 0 else 0.15) * (0.5 + 0.5 * by_day(quarter)) for quarter in quarters]
    return [
        quarter + min(draw.expovariate(1 / 25.0), 600.0)
        for quarter in draw.choices(quarters, weights=weights, k=count)
    ]


def _people(draw: random.Random, count: int) -> list[float]:
    found: list[float] = []
    while len(found) < count:
        moment = BEGIN + draw.random() * DAYS * DAY
        if draw.random() < by_day(moment):
            found.append(moment)
    return found


def write(history: History, path: Path) -> None:
    """As the CSV file that `airkiln autoscale simulate` reads."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("queue", "queued_at", "seconds"))
        for queue, tasks in history.queues.items():
            writer.writerows(
                (queue, f"{queued_at:.3f}", f"{seconds:.3f}")
                for queued_at, seconds in zip(tasks.queued_at, tasks.seconds, strict=True)
            )
