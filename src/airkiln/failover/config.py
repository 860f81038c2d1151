"""`/etc/airkiln/failover.toml`: the timings of the controller, and the rules that they keep.

Every value is in seconds. docs/failover.md derives the takeover times from the defaults. One timing is the
scheduler's own, and is taken from its settings: two places for one value would contradict each other.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from airkiln import numbers
from airkiln.errors import RefusedError

PATH = Path("/etc/airkiln/failover.toml")
HEARTBEAT = "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC"
"""The scheduler's setting that says how often it writes its heartbeat."""
LONGEST = 3600.0
"""Seconds: the largest value of any key."""
MOST_OFTEN = 0.4
"""Seconds: the shortest interval of polls and renewals. More often is more than three statements a second."""

BROKER_EVERY = 3.0
"""Seconds between two questions to the broker."""
BROKER_TIMEOUT = 3.0
"""Seconds for a connection to the broker, and again for its answer."""


@dataclass(frozen=True)
class Timings:
    """The timings of one controller, in seconds."""

    lease_ttl: float = 4.0
    """Life of a lease that is not renewed, on the database's clock."""
    renew_interval: float = 0.5
    """Between two renewals of a leader."""
    poll_interval: float = 1.0
    """Between two polls of a standby."""
    call_timeout: float = 1.0
    """Of one request to the database, its connection included; enforced by the server and by the client."""
    poll_timeout_max: float = 4.0
    """The longest time-out of a standby's poll. Each poll without a reply doubles the time-out of the
    next one, for a database so busy that a login takes longer than `call_timeout`."""
    self_fence_deadline: float = 2.5
    """From sending the last successful renewal until a leader kills its own scheduler (CLOCK_BOOTTIME)."""
    kill_timeout: float = 0.4
    """For the kernel to end what was killed."""
    clock_margin: float = 1.0
    """Left before another host can lead: for clocks that run at different rates."""
    scheduler_heartbeat: float = 2.0
    """Between two heartbeats of the scheduler: the value of `HEARTBEAT`, never of the file. The default is
    that of the image (roles/airflow)."""
    stopped_timeout: float = 4.0
    """For which a scheduler is in process state T (stopped) before it counts as stuck."""
    stuck_timeout: float = 8.0
    """After a heartbeat was due, without one and without progress, until a scheduler counts as stuck."""
    hung_timeout: float = 600.0
    """Without a heartbeat, whatever the scheduler computes, until it counts as stuck. Airflow itself takes a
    scheduler for dead after 30 s (AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD)."""
    broker_timeout: float = 60.0
    """For which the leader alone must be cut off from the broker before it gives the lease up."""
    blocking_lock_timeout: float = 8.0
    """For which another session may hold a lock that the scheduler needs, before that session is ended."""
    watchdog_timeout: float = 3.0
    """WatchdogSec of airkiln-failover.service: systemd kills a controller that hangs."""
    dump_timeout: float = 0.5
    """For a stuck scheduler to write its stacks before it is killed."""
    fence_interval: float = 0.01
    """Between two fences, while sessions of older epochs are left."""
    yield_time: float = 3.0
    """For which a host that gave the lease up leaves it to others, where another host is ready."""
    failure_window: float = 900.0
    """After which a scheduler that was stuck no longer counts against its host."""

    @property
    def fresh_for(self) -> float:
        """For which a host counts as present after a poll, at least 3 s: two polls may be lost or late."""
        return max(3.0, 2 * self.poll_interval + self.call_timeout)

    def problems(self) -> list[str]:
        """What is wrong or contradictory: a sentence each, none where all is well."""
        wrong = [
            f"{field.name} is {getattr(self, field.name):g} s: set more than 0 and at most {LONGEST:g}."
            for field in fields(self)
            if not 0 < getattr(self, field.name) <= LONGEST
        ]
        return wrong or [sentence for holds, sentence in self._rules() if not holds]

    def _rules(self) -> tuple[tuple[bool, str], ...]:
        """Each rule: whether it holds, and what to say where it does not."""
        t = self
        fenced = t.self_fence_deadline + t.kill_timeout + t.clock_margin
        renewals = t.renew_interval + 2 * t.call_timeout
        hung = t.stuck_timeout + t.scheduler_heartbeat
        noticed = BROKER_EVERY + 2 * BROKER_TIMEOUT + t.fresh_for
        return (
            (
                fenced <= t.lease_ttl,
                f"self_fence_deadline + kill_timeout + clock_margin is {fenced:g} s, and lease_ttl "
                f"{t.lease_ttl:g} s: a host that is cut off would still run its scheduler when another may "
                "lead: raise lease_ttl or lower self_fence_deadline.",
            ),
            (
                t.clock_margin >= 0.2 * t.lease_ttl,
                f"clock_margin is {t.clock_margin:g} s, less than a fifth of lease_ttl ({t.lease_ttl:g} s): "
                "clocks that run at different rates would use it up: raise clock_margin.",
            ),
            (
                renewals <= t.self_fence_deadline,
                f"renew_interval + 2 x call_timeout is {renewals:g} s, more than self_fence_deadline "
                f"({t.self_fence_deadline:g} s): one lost packet would end a healthy leader: lower "
                "renew_interval or call_timeout.",
            ),
            (
                t.poll_timeout_max >= t.call_timeout,
                f"poll_timeout_max is {t.poll_timeout_max:g} s, less than call_timeout "
                f"({t.call_timeout:g} s), which every request has: raise poll_timeout_max.",
            ),
            (
                t.poll_interval <= t.lease_ttl / 2,
                f"poll_interval is {t.poll_interval:g} s, more than half of lease_ttl ({t.lease_ttl:g} s): "
                "a free lease would be found late: lower poll_interval.",
            ),
            (
                t.renew_interval >= MOST_OFTEN,
                f"renew_interval is {t.renew_interval:g} s: more than three statements a second for each "
                f"host: raise it to {MOST_OFTEN:g}.",
            ),
            (
                t.poll_interval >= MOST_OFTEN,
                f"poll_interval is {t.poll_interval:g} s: more than three statements a second for each "
                f"host: raise it to {MOST_OFTEN:g}.",
            ),
            (
                t.call_timeout + 0.5 <= t.watchdog_timeout,
                f"watchdog_timeout is {t.watchdog_timeout:g} s, and one request may take "
                f"{t.call_timeout:g} s: systemd would kill a healthy controller: raise watchdog_timeout.",
            ),
            (
                t.watchdog_timeout <= t.lease_ttl,
                f"watchdog_timeout is {t.watchdog_timeout:g} s, more than lease_ttl ({t.lease_ttl:g} s): a "
                "controller that hangs would lose its lease before systemd ends its scheduler: lower "
                "watchdog_timeout.",
            ),
            (
                t.stopped_timeout <= t.stuck_timeout,
                f"stopped_timeout is {t.stopped_timeout:g} s, more than stuck_timeout "
                f"({t.stuck_timeout:g} s): a stopped process is certainly stuck: lower stopped_timeout.",
            ),
            (
                t.stuck_timeout >= 2 * t.scheduler_heartbeat,
                f"stuck_timeout is {t.stuck_timeout:g} s, less than two heartbeats of "
                f"{t.scheduler_heartbeat:g} s: a late heartbeat would kill a healthy scheduler: raise "
                f"stuck_timeout, or lower {HEARTBEAT}.",
            ),
            (
                t.hung_timeout >= 2 * hung,
                f"hung_timeout is {t.hung_timeout:g} s, less than twice stuck_timeout + scheduler_heartbeat "
                f"({hung:g} s): a long loop would kill a healthy scheduler: raise hung_timeout, or lower "
                f"{HEARTBEAT}.",
            ),
            (
                t.broker_timeout >= 2 * noticed,
                f"broker_timeout is {t.broker_timeout:g} s, and another host takes {noticed:g} s to notice "
                "that it does not reach the broker either: a broker that is down would move the lead: set at "
                "least twice that.",
            ),
            (
                t.blocking_lock_timeout <= hung,
                f"blocking_lock_timeout is {t.blocking_lock_timeout:g} s, more than stuck_timeout + "
                f"scheduler_heartbeat ({hung:g} s): the scheduler would be killed for another session's "
                "lock: lower blocking_lock_timeout.",
            ),
            (
                t.yield_time > t.poll_interval,
                f"yield_time is {t.yield_time:g} s, not more than poll_interval ({t.poll_interval:g} s): a "
                "host would take back what it gave up: raise yield_time.",
            ),
        )


def load(path: Path = PATH, variables: Mapping[str, str] | None = None) -> Timings:
    """The timings in the file; the defaults where there is none.

    :param variables: those of the scheduler, which say how often it writes its heartbeat.
    Raises RefusedError, which names everything that is wrong.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        given = {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RefusedError(
            [f"{path}: cannot be read as TOML ({type(error).__name__}): correct or remove it"]
        ) from None
    known = {field.name for field in fields(Timings)} - {"scheduler_heartbeat"}
    if given.pop("scheduler_heartbeat", None) is not None:
        raise RefusedError([f"{path}: scheduler_heartbeat: remove it: it follows {HEARTBEAT}"])
    problems = [
        f"{path}: unknown key {key!r}: use only {', '.join(sorted(known))}"
        for key in given
        if key not in known
    ]
    problems += [
        f"{path}: {key} must be a number of seconds"
        for key, value in given.items()
        if key in known and (isinstance(value, bool) or not isinstance(value, int | float))
    ]
    if problems:
        raise RefusedError(problems)
    timings = Timings(**{key: float(value) for key, value in given.items()}, **_heartbeat(variables or {}))
    if contradictions := timings.problems():
        raise RefusedError([f"{path}: {sentence}" for sentence in contradictions])
    return timings


def _heartbeat(variables: Mapping[str, str]) -> dict[str, float]:
    text = variables.get(HEARTBEAT)
    if text is None:
        return {}
    if reason := numbers.reason(HEARTBEAT, text):
        raise RefusedError([f"{HEARTBEAT}: {reason}"])
    return {"scheduler_heartbeat": float(text)}
