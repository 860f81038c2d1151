"""How exposed each service of the image is, by `systemd-analyze security`: 0 is best, 10 is worst."""

from __future__ import annotations

import re

LIMIT = 2.0
"""The most exposure of a service of Airkiln or Airflow."""
LIMITS = {"airflow-worker@.service": 3.0}
"""The most exposure where it differs. Tasks are what users write."""
OURS = re.compile(r"^(airkiln|airflow)[-@]")
"""Names of the units that belong to Airkiln and Airflow."""
_SCORE = re.compile(r"Overall exposure level for \S+: ([0-9.]+)")


def command(unit: str, *, running: bool) -> str:
    """The shell command that measures a unit.

    :param running: whether systemd runs where the command will; otherwise the unit's files are read.
    """
    offline = "" if running else "--offline=yes "
    return f"systemd-analyze security --no-pager {offline}{unit.replace('@.', '@1.')}"


def score(printed: str) -> float:
    """The score in what the command printed.

    :raises ValueError: there is none, with what was printed instead.
    """
    found = _SCORE.search(printed)
    if found is None:
        raise ValueError(f"systemd-analyze printed no score but: {printed.strip() or 'nothing'}")
    return float(found[1])


def above(scores: dict[str, float]) -> dict[str, float]:
    """The services of Airkiln and Airflow whose score is above their limit."""
    return {
        unit: found for unit, found in scores.items() if OURS.match(unit) and found > LIMITS.get(unit, LIMIT)
    }
