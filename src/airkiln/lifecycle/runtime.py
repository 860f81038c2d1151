"""This host, as the drain knows it: which pool it works for, how it reaches Airflow, where its notes lie."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from airkiln.errors import AirkilnError, NotPermittedError, RefusedError
from airkiln.host.layout import Layout
from airkiln.roles import EXECUTION_API
from airkiln.systemd import envfile

USER = "airkiln-worker"
PASSWORD = "AIRKILN_LIFECYCLE_PASSWORD"  # noqa: S105 - the variable's name
HOOK = "airkiln-drain"


@dataclass(frozen=True)
class Folder:
    """The daemon's runtime directory. It outlives the daemon."""

    path: Path = Path("/run/airkiln-lifecycle")

    @property
    def draining(self) -> Path:
        """Why this host drains. While it is there, no worker is started (a condition of its unit)."""
        return self.path / "draining"

    @property
    def state(self) -> Path:
        """What `airkiln lifecycle status` shows."""
        return self.path / "state.json"

    def marked(self) -> str | None:
        """Why this host drains; None if it does not."""
        try:
            return self.draining.read_text(encoding="utf-8").strip() or "marked as draining"
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            return f"marked as draining ({error.strerror})"

    def mark(self, reason: str) -> None:
        """Note that this host drains."""
        self.path.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.draining.write_text(f"{reason}\n", encoding="utf-8")


@dataclass(frozen=True)
class Host:
    """What the boot path found out about this instance; None where it has none (a host without AWS)."""

    environment: str
    pool: str
    instance: str | None
    region: str | None

    @property
    def group(self) -> str:
        """The Auto Scaling group of its pool."""
        return f"airkiln-{self.environment}-worker-{self.pool}"


def host(layout: Layout) -> Host:
    """The instance, from what the boot path wrote; an empty one before it has."""
    try:
        known = json.loads(layout.instance_json.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    return Host(
        environment=str(known.get("environment") or ""),
        pool=str(known.get("pool") or "default"),
        instance=known.get("instance_id"),
        region=known.get("region"),
    )


def variables(layout: Layout) -> dict[str, str]:
    """Airflow's variables of this host and what only root reads, as they are now: a reload changes them."""
    found: dict[str, str] = {}
    for path in (layout.static_env, layout.run_env, layout.run_env.with_name("admin.env")):
        try:
            found |= envfile.read(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise NotPermittedError(f"{path}: cannot be read ({error.strerror}): use sudo") from None
    return found


@dataclass(frozen=True)
class Login:
    """Where Airflow's REST API is, and who asks."""

    url: str
    user: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.url!r}, {self.user!r})"


def login(known: Mapping[str, str]) -> Login:
    """The login of the drain. RefusedError names what is missing."""
    problems = [
        f"{name}: missing: without it nothing can be cleared; set it as a parameter of the environment"
        for name in (EXECUTION_API, PASSWORD)
        if not known.get(name)
    ]
    if problems:
        raise RefusedError(problems)
    return Login(base_url(known[EXECUTION_API]), USER, known[PASSWORD])


def base_url(execution: str) -> str:
    """The address of the web server, from that of the task execution API, which ends in /execution/."""
    parts = urlsplit(execution)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise AirkilnError(f"{EXECUTION_API} is no address of a web server: correct the parameter")
    path = parts.path.rstrip("/").removesuffix("/execution")
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))
