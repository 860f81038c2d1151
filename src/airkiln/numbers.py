"""The numbers among the parameters that Airkiln's programs and units read, and their bounds. Pure.

Airflow takes `8.0`, `1_6` and blanks for a number as well; what all of them read the same way is digits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_WHOLE = re.compile(r"[0-9]{1,9}")
_DECIMAL = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")


@dataclass(frozen=True)
class Number:
    """What one parameter may hold, in its unit. `optional`: an empty one means its default."""

    least: float
    most: float
    unit: str = ""
    whole: bool = True
    optional: bool = False


_PORT = Number(1, 65_535, unit=" (a port)")

NUMBERS: Mapping[str, Number] = {
    "AIRFLOW__API__PORT": _PORT,
    # One process each, of 300 MB.
    "AIRFLOW__API__WORKERS": Number(1, 100, unit=" processes"),
    # What Airflow forgives an expired token, and so does what drops messages (airkiln_airflow.celery_config).
    "AIRFLOW__API_AUTH__JWT_LEEWAY": Number(0, 3600, unit=" seconds"),
    # The slots of a pool (airkiln.pools.settings).
    "AIRFLOW__CELERY__WORKER_CONCURRENCY": Number(1, 1000, unit=" tasks"),
    # deploy.yml compares it with the slots of all pools; Airflow 3.3.2 does not start with 0.
    "AIRFLOW__CORE__PARALLELISM": Number(1, 1_000_000, unit=" tasks"),
    "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": _PORT,
    "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": _PORT,
    # The failover controller's largest timing is an hour (airkiln.failover.config).
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": Number(0.1, 3600, unit=" seconds", whole=False),
    "AIRKILN_RETENTION_DAYS": Number(1, 3650, unit=" days", optional=True),
    "AIRKILN_WEB_PUBLIC_PORT": Number(0, 65_535, unit=" (a port, or 0 for none)", optional=True),
}
"""Every one, by its name."""


def reason(name: str, value: str) -> str | None:
    """Why a parameter's value is refused; None for a good one, and for a parameter that is not a number."""
    number = NUMBERS.get(name)
    if number is None or (number.optional and not value):
        return None
    form = _WHOLE if number.whole else _DECIMAL
    if form.fullmatch(value) and number.least <= float(value) <= number.most:
        return None
    kind = "a whole number" if number.whole else "a number"
    return (
        f"the value must be {kind} from {number.least:g} to {number.most:.15g}{number.unit}, in the digits "
        "0 to 9 alone"
    )
