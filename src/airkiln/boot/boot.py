"""`airkiln boot`: from what this instance is to its running role.

The parameters of the role are loaded, checked and written; then the target of the role is started. An
instance without a role does nothing, successfully: the image is the same for every role, and a machine
without one (a bake, a bastion) has not failed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from airkiln.boot import changes
from airkiln.boot.settings import Settings, complete, read_overrides
from airkiln.errors import AirkilnError, RefusedError
from airkiln.host import files, instance
from airkiln.host.environment import read_optional
from airkiln.host.files import Ownership
from airkiln.host.layout import SERVICE_GROUP, Layout
from airkiln.host.metadata import Imds
from airkiln.parameters import load, rules
from airkiln.parameters.source import Source, open_source
from airkiln.roles import SCHEDULER_UNIT, WORKER_UNIT, Role, worker_unit
from airkiln.systemd.journal import NOTICE, say
from airkiln.systemd.notify import status
from airkiln.systemd.systemctl import systemctl

if TYPE_CHECKING:  # a boot imports these only where a worker runs
    from airkiln.lifecycle.model import Unit
    from airkiln.pools.model import Pool


def _open(settings: Settings) -> Source:
    return open_source(settings.source, settings.file, settings.instance.region)


@dataclass(frozen=True)
class Boot:
    """One boot or reload; what it touches is given to it."""

    layout: Layout = field(default_factory=Layout)
    imds: Callable[[bool], Imds] = lambda is_ec2: Imds(is_ec2=is_ec2)
    source: Callable[[Settings], Source] = _open
    systemctl: Callable[..., object] = systemctl
    generations: Callable[[], list[Unit]] | None = None
    """Lists the worker's generations on this host. None: as systemd has them."""
    sleep: Callable[[float], None] = time.sleep

    def start(self) -> None:
        """Load the environment and start the role's target."""
        begun = time.monotonic()
        settings = self._settings()
        if settings.instance.role is None:
            status("no role: nothing to do")
            say("this machine has no role (no airkiln:role tag, none in boot.toml): nothing to do", NOTICE)
            return
        role, loaded, pool = self._collect(settings)
        self._store(settings, role, loaded, pool)
        seconds = time.monotonic() - begun
        say(
            f"role {role.name}, environment {settings.instance.environment}: "
            f"{len(loaded.airflow)} parameters in force after {seconds:.2f} s; starting {role.target}"
        )
        self.systemctl("start", "--no-block", role.target)
        status(f"role {role.name}: {len(loaded.airflow)} parameters, {role.target} started")

    def reload(self) -> None:
        """Load again and restart the units whose variables changed; the running role does not change."""
        settings = self._settings()
        before = instance.read(self.layout)
        if settings.instance.role != before.role:
            raise RefusedError(
                [
                    f"this instance runs as {before.role!r} and its role is now {settings.instance.role!r}: "
                    "a role is chosen at boot, so reboot the instance or launch another"
                ]
            )
        old = read_optional(self.layout.run_env, self.layout.admin_env)
        role, loaded, pool = self._collect(settings)
        names = {*self._unfinished(), *changes.changed_names(old, {**loaded.airflow, **loaded.admin})}
        # Before the values: a reload that fails after them would find no difference when it is run again.
        self._write(self.layout.unfinished_reload, "".join(f"{name}\n" for name in sorted(names)))
        self._store(settings, role, loaded, pool)
        self._restart(sorted(names), role)
        self.layout.unfinished_reload.unlink(missing_ok=True)

    def _restart(self, names: list[str], role: Role) -> None:
        """Restart what reads the variables with these names."""
        units = changes.units_of(names, role)
        next_worker = self._next_worker() if WORKER_UNIT in units else None
        restarted = [unit for unit in units if unit != WORKER_UNIT]
        if not names:
            say("reloaded: no parameter changed")
            return
        started = [*restarted, *([worker_unit(next_worker)] if next_worker else [])]
        say(f"reloaded: changed: {', '.join(names)}; restarting: {', '.join(started) or 'nothing'}", NOTICE)
        if restarted:
            self.systemctl("try-restart", "--no-block", *restarted)
        if next_worker is not None:
            # The generation before takes no more tasks once this one is ready, and finishes its own.
            self._write(self.layout.worker_generation, f"{next_worker}\n")
            self.systemctl("start", "--no-block", worker_unit(next_worker))
        # Starts what the old parameters did not need, such as a file system.
        self.systemctl("start", "--no-block", role.target)

    def _unfinished(self) -> list[str]:
        try:
            return self.layout.unfinished_reload.read_text(encoding="utf-8").split()
        except FileNotFoundError:
            return []

    def _settings(self) -> Settings:
        status("asking what this instance is")
        return complete(read_overrides(self.layout.boot_toml), self.layout, self.imds, self.sleep)

    def _collect(self, settings: Settings) -> tuple[Role, load.Loaded, Pool | None]:
        """The role, its checked parameters, and the pool that this host works for. Writes nothing."""
        here = settings.instance
        if not here.environment:
            raise RefusedError(
                [
                    f"this instance has the role {here.role} and no environment: "
                    "set its airkiln:environment tag, or `environment` in boot.toml"
                ]
            )
        role = load.role_named(here.role or "")
        status(f"loading parameters of {here.environment} for {role.name}")
        loaded = load.collect(self.source(settings), here.environment, role, self.layout)
        self._check_authorities(loaded)
        self._check_heartbeat(loaded, role)
        pool = self._own_pool(loaded, role, here.pool) if WORKER_UNIT in role.units else None
        loaded = _with_pool(loaded, pool) if pool is not None else loaded
        if here.task_role:
            loaded = replace(loaded, airflow={**loaded.airflow, **self._task_role(here.task_role)})
        return role, loaded, pool

    def _check_authorities(self, loaded: load.Loaded) -> None:
        """Refuse connections that could verify nothing: no program would log in, each in words of its own."""
        missing = {
            path: name
            for path, name in rules.authorities(loaded.airflow).items()
            if not (self.layout.root / path.lstrip("/")).is_file()
        }
        if missing:
            raise RefusedError(
                [
                    f"{name}: {path} is not on this host: bake the image with database_authority_sha256 "
                    "(roles/database_authority), or correct sslrootcert"
                    for path, name in missing.items()
                ]
            )

    def _check_heartbeat(self, loaded: load.Loaded, role: Role) -> None:
        """Refuse a heartbeat that the failover controller's timings contradict: it would not start."""
        if SCHEDULER_UNIT not in role.units or role.name == "all" or not self.layout.failover_gate.exists():
            return
        from airkiln.failover import config  # noqa: PLC0415 - start-up counts at boot

        config.load(self.layout.failover_toml, {**read_optional(self.layout.static_env), **loaded.airflow})

    def _store(self, settings: Settings, role: Role, loaded: load.Loaded, pool: Pool | None) -> None:
        facts = instance.render(replace(settings.instance, pool=pool.name if pool else None))
        also = {self.layout.instance_json: (facts, Ownership(0o644))}
        if settings.instance.task_role:
            also[self.layout.task_token] = (self._task_token(), load.service_ownership(SERVICE_GROUP))
        load.store(loaded, role, self.layout.run_env, also=also)
        if pool is not None:
            self._limit(pool)

    def _task_role(self, arn: str) -> dict[str, str]:
        """The variables with which Airflow's processes find the credentials of their role."""
        from airkiln import credentials  # noqa: PLC0415

        credentials.checked(arn)
        return credentials.variables(self.layout)

    def _task_token(self) -> str:
        """The token of this boot: a reload keeps it, because processes that run have read it."""
        try:
            return self.layout.task_token.read_text(encoding="ascii")
        except OSError:
            return os.urandom(32).hex()  # no line break: botocore would refuse it

    def _own_pool(self, loaded: load.Loaded, role: Role, name: str | None) -> Pool | None:
        """The pool that this host works for, where it runs a Celery worker."""
        from airkiln.pools import workers  # noqa: PLC0415 - start-up counts at boot

        variables = {**read_optional(self.layout.static_env), **loaded.airflow}
        return workers.own_pool(variables, role, name)

    def _next_worker(self) -> int | None:
        """The number of the worker's next generation; None where no generation takes tasks now."""
        from airkiln.lifecycle import units  # noqa: PLC0415

        return units.next_generation((self.generations or units.Units().observe)())

    def _limit(self, pool: Pool) -> None:
        """Give the pool's drain its time."""
        from airkiln.pools import workers  # noqa: PLC0415

        try:
            changed = workers.write_limits(self.layout.runtime_units, pool)
        except OSError as error:
            raise AirkilnError(
                f"{error.filename}: could not be written ({error.strerror}): the drain_limit would not "
                f"hold: check {self.layout.runtime_units} and run as root"
            ) from None
        if changed:
            self.systemctl("daemon-reload")

    def _write(self, path: Path, text: str) -> None:
        try:
            files.replace(path, text)
        except OSError as error:
            raise AirkilnError(f"{path}: could not be written ({error.strerror}): run as root") from None


def _with_pool(loaded: load.Loaded, pool: Pool) -> load.Loaded:
    from airkiln.pools import workers  # noqa: PLC0415

    return replace(loaded, airflow={**loaded.airflow, **workers.derived(pool)})
