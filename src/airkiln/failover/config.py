"""`/etc/airkiln/failover.toml`: the controller's limits, and the refusal of limits that contradict.

Every value is in seconds. The defaults are those of docs/failover.md, whose table of faults follows
from them.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from airkiln.errors import RefusedError

PATH = Path("/etc/airkiln/failover.toml")


@dataclass(frozen=True)
class Timings:
    """How long things may take, in seconds."""

    ttl: float = 4.0
    """Life of a lease that is not renewed, on the database's clock."""
    renew: float = 0.5
    """Between two renewals of a leader."""
    poll: float = 1.0
    """Between two questions of a standby."""
    limit: float = 1.0
    """Of one call to the database, with its connection; kept on this side of the network too."""
    patience: float = 4.0
    """Of a standby's poll, at most: each that got no answer is followed by one that has twice as long, for
    a database so busy that a login takes longer than `limit`."""
    deadline: float = 2.5
    """From sending the last good renewal until a leader kills its own scheduler (CLOCK_BOOTTIME)."""
    kill: float = 0.4
    """For the kernel to end what was killed."""
    margin: float = 1.0
    """What is left before another host can lead: for clocks that run at different rates."""
    heartbeat: float = 2.0
    """Between two heartbeats of the scheduler: AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC."""
    stopped: float = 4.0
    """For a scheduler in process state T (stopped), before it counts as stuck."""
    stuck: float = 8.0
    """After a heartbeat was due, without one and without progress."""
    foreign: float = 8.0
    """For a lock of somebody else's session that a scheduler needs, before that session is ended."""
    watchdog: float = 3.0
    """WatchdogSec of airkiln-failover.service: systemd kills a controller that hangs."""
    dump: float = 0.5
    """For a stuck scheduler to write its stacks before it is killed."""
    dead: float = 0.01
    """Between two looks for sessions that must end."""
    yielding: float = 3.0
    """For which a host that gave the lease away leaves it to others, where another host is ready."""
    forget: float = 900.0
    """After which a scheduler's being stuck no longer counts against its host."""

    def problems(self) -> list[str]:
        """What contradicts, one sentence each."""
        found = [
            f"{field.name} is {getattr(self, field.name):g} s: give more than 0 and at most 3600."
            for field in fields(self)
            if not 0 < getattr(self, field.name) <= 3600
        ]
        if found:
            return found
        t, chain = self, self.deadline + self.kill + self.margin
        rules = (
            (
                chain <= t.ttl,
                f"deadline + kill + margin is {chain:g} s, and ttl {t.ttl:g} s: a host that is cut off would "
                "still run its scheduler when another may lead: raise ttl or lower deadline.",
            ),
            (
                t.margin >= 0.2 * t.ttl,
                f"margin is {t.margin:g} s, less than a fifth of ttl ({t.ttl:g} s): clocks that run at "
                "different rates would use it up: raise margin.",
            ),
            (
                t.renew + 2 * t.limit <= t.deadline,
                f"renew + 2 x limit is {t.renew + 2 * t.limit:g} s, more than deadline ({t.deadline:g} s): "
                "one lost packet would end a healthy leader: lower renew or limit.",
            ),
            (
                t.patience >= t.limit,
                f"patience is {t.patience:g} s, less than limit ({t.limit:g} s), which every call has: raise "
                "patience.",
            ),
            (
                t.poll <= t.ttl / 2,
                f"poll is {t.poll:g} s, more than half of ttl ({t.ttl:g} s): a free lease would be seen "
                "late: lower poll.",
            ),
            (
                t.renew >= 0.4,
                f"renew is {t.renew:g} s: more than three statements a second a host: raise it to 0.4.",
            ),
            (
                t.poll >= 0.4,
                f"poll is {t.poll:g} s: more than three statements a second a host: raise it to 0.4.",
            ),
            (
                t.limit + 0.5 <= t.watchdog,
                f"watchdog is {t.watchdog:g} s, and one call may take {t.limit:g} s: systemd would kill a "
                "healthy controller: raise watchdog.",
            ),
            (
                t.watchdog <= t.ttl,
                f"watchdog is {t.watchdog:g} s, more than ttl ({t.ttl:g} s): a controller that hangs would "
                "lose its lease before systemd ends its scheduler: lower watchdog.",
            ),
            (
                t.stopped <= t.stuck,
                f"stopped is {t.stopped:g} s, more than stuck ({t.stuck:g} s): a stopped process is stuck "
                "for certain, so it may not be given longer.",
            ),
            (
                t.stuck >= 2 * t.heartbeat,
                f"stuck is {t.stuck:g} s, less than two heartbeats of {t.heartbeat:g} s: a late heartbeat "
                "would kill a healthy scheduler: raise stuck.",
            ),
            (
                t.foreign <= t.stuck + t.heartbeat,
                f"foreign is {t.foreign:g} s, more than stuck + heartbeat ({t.stuck + t.heartbeat:g} s): "
                "the scheduler would be killed for another session's lock: lower foreign.",
            ),
            (
                t.yielding > t.poll,
                f"yielding is {t.yielding:g} s, not more than poll ({t.poll:g} s): a host would take back "
                "what it gave away: raise yielding.",
            ),
        )
        return [sentence for holds, sentence in rules if not holds]


def load(path: Path = PATH) -> Timings:
    """The file's limits; the defaults where there is none. RefusedError says what is wrong, all at once."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        given = {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RefusedError(
            [f"{path}: cannot be read as TOML ({type(error).__name__}): correct or remove it"]
        ) from None
    known = {field.name for field in fields(Timings)}
    problems = [
        f"{path}: unknown key {key!r}: use only {', '.join(sorted(known))}"
        for key in given
        if key not in known
        for key in given
        if key not in known
    ]
    problems += [
        f"{path}: {key} is no number of seconds"
        for key, value in given.items()
        if key in known and (isinstance(value, bool) or not isinstance(value, int | float))
    ]
    if problems:
        raise RefusedError(problems)
    timings = Timings(**{key: float(value) for key, value in given.items()})
    if contradictions := timings.problems():
        raise RefusedError([f"{path}: {sentence}" for sentence in contradictions])
    return timings
