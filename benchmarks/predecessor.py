"""How long the predecessor takes, from its source: teamclairvoyant/airflow-scheduler-failover-controller.

It does not run on Airflow 3, so its algorithm is a model of times, drawn many times over. What the model has
is in its own files: the active controller polls, then sleeps ``poll_frequency`` = 10 s (configuration.py,
app.py); a poll looks for the process by ``ps | grep`` over ssh, starts it if it is not there, waits 2 s,
looks again, and goes on to the next node (failover/failover_controller.py). A hung process is seen by
``/health``, which the web server calls unhealthy when the heartbeat is older than
``scheduler_health_check_threshold`` = 30 s, written every ``scheduler_heartbeat_sec`` = 5 s (Airflow 2's
defaults). A standby takes over when the heartbeat in the database, in whole seconds, is older than two polls,
and then asks the dead host three times by ssh.

Left out in its favour: how long its statements and a working ssh take; that the second check finds the
heartbeat of the newly started scheduler too old and kills it again; that adoption of the dead scheduler's
tasks comes later.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from benchmarks.results import Figure, summarise

SUBJECT = "predecessor, model of its defaults"
SOURCE = (
    "model of github.com/teamclairvoyant/airflow-scheduler-failover-controller, "
    "failover_controller.py and configuration.py at their defaults"
)
DRAWS = 10_000
POLL = 10.0
"""configuration.py: DEFAULT_POLL_FREQUENCY."""
MAX_AGE = 2 * POLL
"""failover_controller.py: max_age, compared by > with whole seconds."""
PAUSE = 2.0
"""failover_controller.py: "Pausing for 2 seconds to allow the Scheduler to Start"."""
THRESHOLD, HEARTBEAT = 30.0, 5.0
COLD_START = (2.0, 5.0)
"""Seconds from `airflow scheduler` to its first loop, with 3.3.2 on two idle cores."""
CONNECT = 127.0
"""Seconds until Linux gives up a TCP connection to a host that is gone: six retries from 1 s on, doubling
(ip-sysctl, tcp_syn_retries)."""


def scheduler_sigkill(chance: random.Random) -> float:
    """The next poll finds no process and starts one on the same node."""
    return chance.uniform(0, POLL) + chance.uniform(*COLD_START)


def scheduler_sigstop(chance: random.Random) -> float:
    """The web server reports it first; then a poll kills and starts."""
    unhealthy = THRESHOLD - chance.uniform(0, HEARTBEAT)
    return unhealthy + chance.uniform(0, POLL) + chance.uniform(*COLD_START)


def host_killed(chance: random.Random) -> float:
    """The heartbeat grows too old, the standby polls, asks the dead host three times, then starts its own."""
    age = chance.uniform(0, POLL)  # of the last heartbeat when the host dies
    phase = chance.uniform(0, POLL)  # of the standby's polls
    noticed = next(at for at in (phase + POLL * turn for turn in range(9)) if int(at + age) > MAX_AGE)
    return noticed + 3 * CONNECT + PAUSE + chance.uniform(*COLD_START)


MODELS: dict[str, Callable[[random.Random], float]] = {
    "scheduler_sigkill": scheduler_sigkill,
    "scheduler_sigstop": scheduler_sigstop,
    "host_killed": host_killed,
}
"""The faults that it sees at all."""


def figures(draws: int = DRAWS, seed: int = 1) -> list[Figure]:
    """A row for each fault; the same rows for the same seed."""
    made = []
    for name, model in MODELS.items():
        chance = random.Random(seed)
        row = summarise(name, SUBJECT, [model(chance) for _ in range(draws)])
        made.append(Figure(**vars(row) | {"source": SOURCE}))
    return made
