"""What a worker derives from its pool: the queues it takes tasks from, and the time limit of its drain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from airkiln.host import files
from airkiln.pools import settings
from airkiln.pools.model import DEFAULT, Pool
from airkiln.roles import EXECUTOR, WORKER_UNIT, Role

QUEUES = "AIRKILN_QUEUES"
"""What a worker takes tasks from, separated by commas."""

IMAGE_LIMIT = next(field.default for field in fields(Pool) if field.name == "drain_limit")
"""Seconds of a drain in the image's own units (roles/airflow_worker)."""
SHUTDOWN_EXTRA = 1800
"""Seconds that a shutdown may take beyond its workers: what systemd allows for all of it otherwise."""
SHUTDOWNS = ("poweroff.target", "reboot.target", "halt.target")
DROP_IN = "50-pool.conf"


def own_pool(variables: Mapping[str, str], role: Role, name: str | None) -> Pool | None:
    """The pool that this host works for; None where no Celery worker runs. RefusedError if it is unknown."""
    if WORKER_UNIT not in role.units or "celery" not in variables.get(EXECUTOR, "").lower():
        return None
    return settings.own(variables, name or DEFAULT)


def derived(pool: Pool) -> dict[str, str]:
    """The variables with which a worker of the pool starts."""
    return {QUEUES: ",".join(pool.queues), settings.CONCURRENCY: str(pool.slots)}


def limit_files(folder: Path, pool: Pool) -> dict[Path, str]:
    """Drop-ins that give the pool's drain its time; none where the image's own limit is the pool's."""
    if pool.drain_limit == IMAGE_LIMIT:
        return {}
    seconds = f"{pool.drain_limit:.0f}"
    said = f"# Written by `airkiln boot`: the pool {pool.name} drains for {seconds} s at most.\n"
    found = {
        folder / "airflow-worker@.service.d" / DROP_IN: f"{said}[Service]\nTimeoutStopSec={seconds}\n",
    }
    for target in SHUTDOWNS:
        allowed = pool.drain_limit + SHUTDOWN_EXTRA
        found[folder / f"{target}.d" / DROP_IN] = f"{said}[Unit]\nJobTimeoutSec={allowed:.0f}\n"
    return found


def write_limits(folder: Path, pool: Pool) -> bool:
    """Have these drop-ins and no others; whether anything changed, so that systemd must read its units again.

    OSError is the caller's.
    """
    wanted = limit_files(folder, pool)
    places = [folder / f"{unit}.d" / DROP_IN for unit in ("airflow-worker@.service", *SHUTDOWNS)]
    changed = False
    for path in places:
        text = wanted.get(path)
        if text is None:
            changed |= path.exists()
            path.unlink(missing_ok=True)
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            files.replace(path, text)
            path.parent.chmod(0o755)
            changed = True
    return changed
