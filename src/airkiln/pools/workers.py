"""What the boot path derives for workers: what they take, how long they may drain, which one is next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from airkiln.pools import settings as pools
from airkiln.pools.settings import Pool
from airkiln.roles import EXECUTOR, WORKER_UNIT, Role
from airkiln.systemd import envfile
from airkiln.systemd.envfile import Ownership

if TYPE_CHECKING:  # a reload reads it
    from airkiln.lifecycle.model import Unit

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
    return pools.own(variables, name or pools.DEFAULT)


def derived(pool: Pool) -> dict[str, str]:
    """The variables with which a worker of the pool starts."""
    return {QUEUES: ",".join(pool.queues), pools.CONCURRENCY: str(pool.slots)}


def limit_files(folder: Path, pool: Pool) -> dict[Path, str]:
    """Drop-ins that give the pool's drain its time; none where the image's own limit is the pool's."""
    if pool.drain_limit == IMAGE_LIMIT:
        return {}
    seconds = f"{pool.drain_limit:.0f}"
    said = f"# Written by `airkiln boot`: the pool {pool.name} drains for {seconds} s at most.\n"
    files = {
        folder / "airflow-worker@.service.d" / DROP_IN: f"{said}[Service]\nTimeoutStopSec={seconds}\n",
    }
    for target in SHUTDOWNS:
        allowed = pool.drain_limit + SHUTDOWN_EXTRA
        files[folder / f"{target}.d" / DROP_IN] = f"{said}[Unit]\nJobTimeoutSec={allowed:.0f}\n"
    return files


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
            envfile.write({path: (text, Ownership(0o644))})
            path.parent.chmod(0o755)
            changed = True
    return changed


def generations() -> list[Unit]:
    """The generations of the worker on this host, as systemd has them."""
    from airkiln.lifecycle.units import Units  # noqa: PLC0415 - start-up counts at boot

    return list(Units().look())


def following(units: list[Unit]) -> int | None:
    """The generation that a reload starts; None where none takes tasks now (it drains, or is stopped)."""
    if not any(unit.stage == "running" for unit in units):  # model.Stage.RUNNING
        return None
    return max(unit.generation for unit in units) + 1
