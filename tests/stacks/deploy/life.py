"""One run in the life of an environment, and what AWS held before and after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.stacks.deploy.local_aws import Run

LAYERS = {"edge", "webserver", "scheduler", "queues-default", "worker-default", "operations"}
KEPT = {"network", "firewall", "security", "iam", "buckets", "data", "observability"}


@dataclass
class Step:
    """A run, and what AWS held before and after it."""

    run: Run
    before: dict[str, Any]
    after: dict[str, Any]

    @property
    def new_stacks(self) -> set[str]:
        return set(self.after["stacks"]) - set(self.before["stacks"])


def secrets_of(step: Step) -> dict[str, str]:
    """The secrets that AWS held after a run, by their path."""
    return {
        name: value for name, (kind, value, _) in step.after["parameters"].items() if kind == "SecureString"
    }
