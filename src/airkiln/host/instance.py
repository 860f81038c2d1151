"""The facts about this instance: /run/airkiln/instance.json, which the boot path writes."""

from __future__ import annotations

import json
import socket
from dataclasses import asdict, dataclass

from airkiln.host.layout import Layout


@dataclass(frozen=True)
class Instance:
    """What this instance is. A field is None where neither boot.toml nor instance metadata gives it."""

    instance_id: str | None = None
    region: str | None = None
    role: str | None = None
    environment: str | None = None
    pool: str | None = None
    """The worker pool that it belongs to."""
    task_role: str | None = None
    """ARN of the IAM role that Airflow and its tasks have. None: they use the instance's own."""

    @property
    def host(self) -> str:
        """The name of this host among others: the instance id, or the host name outside EC2."""
        return self.instance_id or socket.gethostname()


def read(layout: Layout) -> Instance:
    """The facts that the boot path wrote. An empty `Instance` before it has, or where the file is damaged."""
    try:
        known = json.loads(layout.instance_json.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Instance()
    if not isinstance(known, dict):
        return Instance()
    return Instance(**{name: str(known[name]) for name in Instance.__dataclass_fields__ if known.get(name)})


def render(instance: Instance) -> str:
    """The text of instance.json. It holds nothing secret."""
    return json.dumps(asdict(instance), indent=2) + "\n"
