"""`airkiln boot`: from an instance's tags to its running role.

Overrides in boot.toml, then instance metadata, say what this instance is; its parameters are loaded and
written; its target is started. Without a role nothing is done, successfully: the image is the same for every
role, and a machine that has none (a bake, a bastion) is no failure.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from airkiln.boot import changes
from airkiln.errors import AirkilnError, RefusedError
from airkiln.host.layout import Layout
from airkiln.host.metadata import Imds, NoImdsError, made_by_amazon
from airkiln.parameters import load
from airkiln.parameters.source import FileSource, Source
from airkiln.roles import WORKER_UNIT, Role, worker_unit
from airkiln.systemd import envfile
from airkiln.systemd.envfile import Ownership
from airkiln.systemd.journal import NOTICE, say
from airkiln.systemd.notify import status

if TYPE_CHECKING:  # read where a worker runs; elsewhere the boot does without them
    from airkiln.lifecycle.model import Unit
    from airkiln.pools.settings import Pool

SYSTEMCTL_TIMEOUT = 30
"""Seconds for a job to be queued; it is not waited for."""

_KEYS = ("source", "file", "role", "environment", "region", "pool")
_LOCAL_ENVIRONMENT = "local"
"""The environment's name on a host whose parameters are a file and that was given no name."""


@dataclass(frozen=True)
class Settings:
    """What this instance is. None where nobody has said yet."""

    source: str = "ssm"
    file: Path = Path("/etc/airkiln/parameters.env")
    role: str | None = None
    environment: str | None = None
    region: str | None = None
    instance_id: str | None = None
    pool: str | None = None


def read_overrides(path: Path) -> Settings:
    """boot.toml's settings, or the defaults if there is none. RefusedError names what is wrong in it."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RefusedError(
            [f"{path}: cannot be read as TOML ({type(error).__name__}): correct or remove it"]
        ) from None
    problems = [
        f"{path}: unknown key {key!r}: use only {', '.join(_KEYS)}" for key in content if key not in _KEYS
    ]
    problems += [f"{path}: {key}: not a text" for key in _KEYS if not isinstance(content.get(key, ""), str)]
    if not problems and content.get("source", "ssm") not in ("ssm", "file"):
        problems.append(f'{path}: source: must be "ssm" or "file"')
    if problems:
        raise RefusedError(problems)
    given = {key: value for key, value in content.items() if value}
    if "file" in given:
        given["file"] = Path(given["file"])
    return Settings(**given)


def complete(settings: Settings, layout: Layout, imds: Callable[[bool], Imds]) -> Settings:
    """Fill in from instance metadata what boot.toml left open.

    A host that is told everything, or whose parameters are a file, is not asked of metadata.
    """
    if settings.role and settings.environment and settings.region:
        return settings
    if settings.source == "file" and settings.role:
        return replace(settings, environment=settings.environment or _LOCAL_ENVIRONMENT)
    try:
        with imds(made_by_amazon(layout.dmi_vendor)) as metadata:
            found = metadata.identity()
    except NoImdsError as error:
        say(f"no instance metadata: {error}")
        return settings
    return replace(
        settings,
        role=settings.role or found.role,
        environment=settings.environment or found.environment,
        region=settings.region or found.region,
        instance_id=found.instance_id,
        pool=settings.pool or found.pool,
    )


def open_source(settings: Settings) -> Source:
    """The source that the settings name. boto is imported only here: it costs a third of a second."""
    if settings.source == "file":
        return FileSource(settings.file)
    ssm = importlib.import_module("airkiln.parameters.ssm")
    source: Source = ssm.SsmSource(ssm.create_client(settings.region))
    return source


def systemctl(*arguments: str) -> None:
    """Run systemctl; AirkilnError with its own words when it fails."""
    try:
        done = subprocess.run(
            ["systemctl", *arguments], capture_output=True, text=True, timeout=SYSTEMCTL_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AirkilnError(
            f"systemctl {' '.join(arguments)}: could not be run ({type(error).__name__}): "
            "look at `systemctl status`"
        ) from None
    if done.returncode != 0:
        raise AirkilnError(
            f"systemctl {' '.join(arguments)}: failed: {done.stderr.strip() or 'no reason given'}: "
            "look at `systemctl list-units 'airkiln*' 'airflow*'`"
        )


@dataclass(frozen=True)
class Boot:
    """One boot or reload; what it touches is given to it."""

    layout: Layout = field(default_factory=Layout)
    imds: Callable[[bool], Imds] = lambda is_ec2: Imds(is_ec2=is_ec2)
    source: Callable[[Settings], Source] = open_source
    systemctl: Callable[..., None] = systemctl
    generations: Callable[[], list[Unit]] | None = None
    """The worker's generations here; None: as systemd has them."""

    def start(self) -> None:
        """Load the environment and start the role's target."""
        begun = time.monotonic()
        settings = self._settings()
        if settings.role is None:
            status("no role: nothing to do")
            say("this machine has no role (no airkiln:role tag, none in boot.toml): nothing to do", NOTICE)
            return
        role, loaded = self._load(settings)
        seconds = time.monotonic() - begun
        say(
            f"role {role.name}, environment {settings.environment}: {len(loaded.airflow)} parameters in "
            f"force after {seconds:.2f} s; starting {role.target}"
        )
        self.systemctl("start", "--no-block", role.target)
        status(f"role {role.name}: {len(loaded.airflow)} parameters, {role.target} started")

    def reload(self) -> None:
        """Load again and restart the units whose variables changed; the running role does not change."""
        settings = self._settings()
        before = self._running()
        if settings.role != before.get("role"):
            raise RefusedError(
                [
                    f"this instance runs as {before.get('role')!r} and is now to be {settings.role!r}: "
                    "a role is chosen at boot, so reboot it or launch another"
                ]
            )
        try:
            old = envfile.read(self.layout.run_env)
        except FileNotFoundError:
            old = {}
        role, loaded = self._load(settings)
        names = changes.changed_names(old, loaded.airflow)
        units = changes.changed_units(old, loaded.airflow, role)
        next_worker = self._next_worker() if WORKER_UNIT in units else None
        restarted = [unit for unit in units if unit != WORKER_UNIT]
        if not names:
            say("reloaded: no parameter changed")
            return
        told = [*restarted, *([worker_unit(next_worker)] if next_worker else [])]
        say(f"reloaded: changed: {', '.join(names)}; restarting: {', '.join(told) or 'nothing'}", NOTICE)
        if restarted:
            self.systemctl("try-restart", "--no-block", *restarted)
        if next_worker is not None:
            # The one before goes on with its tasks; it takes no more when this one is ready.
            self._write_generation(next_worker)
            self.systemctl("start", "--no-block", worker_unit(next_worker))
        # What the old parameters did not call for, such as a file system or a broker, starts now.
        self.systemctl("start", "--no-block", role.target)

    def _settings(self) -> Settings:
        status("asking what this instance is")
        return complete(read_overrides(self.layout.boot_toml), self.layout, self.imds)

    def _load(self, settings: Settings) -> tuple[Role, load.Loaded]:
        if not settings.environment:
            raise RefusedError(
                [
                    f"this instance has the role {settings.role} and no environment: "
                    "set its airkiln:environment tag, or `environment` in boot.toml"
                ]
            )
        role = load.role_named(settings.role or "")
        status(f"loading parameters of {settings.environment} for {role.name}")
        loaded = load.collect(self.source(settings), settings.environment, role, self.layout.static_env)
        pool = self._own_pool(loaded, role, settings) if WORKER_UNIT in role.units else None
        if pool is not None:
            loaded = _with_pool(loaded, pool)
        load.store(loaded, self.layout.run_env, also={self.layout.instance_json: _instance(settings, pool)})
        if pool is not None:
            self._limit(pool)
        return role, loaded

    def _own_pool(self, loaded: load.Loaded, role: Role, settings: Settings) -> Pool | None:
        """The pool that this host works for, where it runs a Celery worker."""
        from airkiln.pools import workers  # noqa: PLC0415 - start-up counts at boot

        try:
            static = envfile.read(self.layout.static_env)
        except FileNotFoundError:
            static = {}
        return workers.own_pool({**static, **loaded.airflow}, role, settings.pool)

    def _next_worker(self) -> int | None:
        """The worker's next generation, where one takes tasks now."""
        from airkiln.pools import workers  # noqa: PLC0415

        return workers.following((self.generations or workers.generations)())

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

    def _write_generation(self, number: int) -> None:
        """Of several generations the newest alone is ever started again."""
        path = self.layout.worker_generation
        try:
            envfile.write({path: (f"{number}\n", Ownership(0o644))})
        except OSError as error:
            raise AirkilnError(f"{path}: could not be written ({error.strerror}): run as root") from None

    def _running(self) -> Mapping[str, object]:
        try:
            running = json.loads(self.layout.instance_json.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return running if isinstance(running, dict) else {}


def _with_pool(loaded: load.Loaded, pool: Pool) -> load.Loaded:
    from airkiln.pools import workers  # noqa: PLC0415

    return replace(loaded, airflow={**loaded.airflow, **workers.derived(pool)})


def _instance(settings: Settings, pool: Pool | None) -> tuple[str, Ownership]:
    facts = {
        "environment": settings.environment,
        "role": settings.role,
        "instance_id": settings.instance_id,
        "region": settings.region,
        "pool": pool.name if pool else None,
    }
    return json.dumps(facts, indent=2) + "\n", Ownership(0o644)
