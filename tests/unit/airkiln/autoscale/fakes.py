"""A group side without AWS, a database without PostgreSQL, and a clock of a test's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from airkiln.autoscale.amazon import Metric, Usage
from airkiln.autoscale.demand import Counted
from airkiln.autoscale.model import Group, Instance


class AwsError(Exception):
    """As botocore's ClientError: a code and words."""

    def __init__(self, code: str, message: str = "no") -> None:
        super().__init__(f"An error occurred ({code})")
        self.response = {"Error": {"Code": code, "Message": message}}


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class FakeCloud:
    """Groups that do at once what they are told; `calls` are those that change something."""

    held: dict[str, Group] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[object, ...]] = field(default_factory=list)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    fails: dict[str, Exception] = field(default_factory=dict)
    slow: Callable[[], None] = lambda: None
    on_look: Callable[[], None] = lambda: None
    published: list[Metric] = field(default_factory=list)
    used: dict[str, Usage] = field(default_factory=dict)

    def groups(self, names: Sequence[str]) -> dict[str, Group]:
        self.on_look()
        self._fail("groups")
        return {name: self.held[name] for name in names if name in self.held}

    def addresses(self, instances: Sequence[str]) -> dict[str, str]:
        self.asked.append(tuple(instances))
        self._fail("addresses")
        return {one: self.known[one] for one in instances if one in self.known}

    def set_desired(self, group: str, desired: int) -> None:
        self._change("set_desired", group, desired)
        self.held[group] = replace(self.held[group], desired=desired)

    def terminate(self, instance: str) -> None:
        self._change("terminate", instance)
        for name, group in self.held.items():
            if any(each.id == instance for each in group.instances):
                left = tuple(each for each in group.instances if each.id != instance)
                self.held[name] = replace(group, desired=group.desired - 1, instances=left)

    def protect(self, group: str, instances: Sequence[str], *, protected: bool) -> None:
        self._change("protect" if protected else "unprotect", group, tuple(instances))

    def publish(self, namespace: str, metrics: Sequence[Metric]) -> None:
        self._fail("publish")
        assert namespace == "Airkiln/prod"
        self.published += metrics

    def usage(self, names: Sequence[str], namespace: str) -> dict[str, Usage]:
        assert namespace == "Airkiln/prod"
        self.asked.append(tuple(names))
        self._fail("usage")
        return {name: self.used[name] for name in names if name in self.used}

    def add(self, name: str, count: int, **bounds: int) -> None:
        """A group of so many workers in service."""
        instances = tuple(Instance(f"i-{number}", None, "InService") for number in range(1, count + 1))
        self.known |= {f"i-{number}": f"10.0.0.{number}" for number in range(1, count + 1)}
        self.held[name] = Group(bounds.get("least", 0), bounds.get("most", 10), count, instances)

    def _change(self, *call: object) -> None:
        self.slow()
        self.calls.append(call)
        self._fail(str(call[0]))

    def _fail(self, what: str) -> None:
        if what in self.fails:
            raise self.fails[what]


@dataclass
class FakeDatabase:
    """What it says, or why it says nothing. `lead` is asked for and used up from the left; the last stays."""

    counted: list[Counted] = field(default_factory=list)
    lead: list[bool | Exception] = field(default_factory=lambda: [True])
    away: Exception | None = None
    on_count: Callable[[], None] = lambda: None

    def leads(self) -> bool:
        found = self.lead.pop(0) if len(self.lead) > 1 else self.lead[0]
        if isinstance(found, Exception):
            raise found
        return found

    def count(self) -> list[Counted]:
        self.on_count()
        if self.away is not None:
            raise self.away
        return self.counted


def queued(
    count: int, queue: str = "default", *, executor: str | None = None, oldest: float = 1.0
) -> Counted:
    return Counted("queued", queue, executor, None, count, oldest)


def running(count: int, host: str, queue: str = "default", *, executor: str | None = None) -> Counted:
    return Counted("running", queue, executor, host, count, 60.0)
