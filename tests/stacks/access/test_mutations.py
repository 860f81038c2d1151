"""The test of the matrix: every statement of every policy, taken away or widened, turns some case around."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import pytest

from tests.stacks.access.cases import Case, matrix
from tests.stacks.access.simulation import asked, simulated
from tests.stacks.access.world import world

Document = dict[str, Any]


EQUIVALENT = {
    "security.Key AutoScalingLendsTheKeyToVolumes: without": "OnlyServicesLendTheKey refuses the same",
    "data.FileSystem MountOverTlsInsideTheVpc: without the condition aws:Sec": "RefuseClearText does it",
    "observability.TopicPolicy AlarmsOfThisEnvironment: every resource": "a topic's policy is about it",
    "buckets.LogBucketPolicy TakeFlowLogs: every environment": "the policy of one bucket is about it",
    "buckets.LogBucketPolicy LetTheDeliveryLook: every": "the policy of one bucket is about it",
}
"""Beginnings of mutations that change nothing, and why."""


class Mutation(NamedTuple):
    """A policy made worse in one place."""

    policy: str
    statement: str
    what: str
    actions: tuple[str, ...]
    document: Document

    @property
    def equivalent(self) -> str | None:
        return next((why for start, why in EQUIVALENT.items() if str(self).startswith(start)), None)

    def concerns(self, action: str) -> bool:
        """Whether the statement that differs speaks of this action."""
        return any(fnmatchcase(action, pattern) for pattern in self.actions)

    def __str__(self) -> str:
        return f"{self.policy} {self.statement}: {self.what}"


def made_worse(statement: Document) -> Iterator[tuple[str, Document]]:
    """(what, the statement made worse) in each way that says something else than before."""
    if statement["Effect"] != "Allow":
        return
    resource = statement.get("Resource", "*")
    if resource not in ("*", ["*"]):
        yield "every resource", {**statement, "Resource": "*"}
    text = json.dumps(statement)
    other = text.replace("airkiln-test", "airkiln-*").replace("/airkiln/test", "/airkiln/*")
    if other != text:
        yield "every environment", json.loads(other)
    for operator, keys in statement.get("Condition", {}).items():
        for key in keys:
            worse = copy.deepcopy(statement)
            del worse["Condition"][operator][key]
            worse["Condition"] = {name: left for name, left in worse["Condition"].items() if left}
            yield f"without the condition {key}", worse


def mutations() -> Iterator[Mutation]:
    for name, document in world().policies.items():
        if name in ("administrator", "other.Key"):
            continue
        for index, statement in enumerate(document["Statement"]):
            others = document["Statement"][:index], document["Statement"][index + 1 :]
            sid = statement.get("Sid", str(index))
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            if others[0] or others[1]:
                yield Mutation(
                    name, sid, "taken away", (*actions,), {**document, "Statement": [*others[0], *others[1]]}
                )
            for what, worse in made_worse(statement):
                yield Mutation(
                    name, sid, what, (*actions,), {**document, "Statement": [*others[0], worse, *others[1]]}
                )


MUTATIONS = list(mutations())


@pytest.fixture(scope="module")
def noticed() -> dict[str, list[Case]]:
    """The cases that each mutation turns around; all of them are decided in one go."""
    known = world()
    policies = {**known.policies, **{str(mutation): mutation.document for mutation in MUTATIONS}}
    concerned = []
    for mutation in MUTATIONS:
        for case in matrix():
            if not mutation.concerns(case.request.action):
                continue
            request = asked(case.request, known)
            if mutation.policy in (*request["identity"], request["resourcePolicy"]):
                swapped = [str(mutation) if p == mutation.policy else p for p in request["identity"]]
                own = request["resourcePolicy"]
                own = str(mutation) if own == mutation.policy else own
                concerned.append((mutation, case, {**request, "identity": swapped, "resourcePolicy": own}))
    allowed = simulated(policies, [request for _, _, request in concerned])
    found: dict[str, list[Case]] = {str(mutation): [] for mutation in MUTATIONS}
    for (mutation, case, _), is_allowed in zip(concerned, allowed, strict=True):
        if is_allowed != case.allowed:
            found[str(mutation)].append(case)
    return found


def test_there_are_mutations_of_every_kind() -> None:
    kinds = {mutation.what.split(" the condition")[0] for mutation in MUTATIONS}
    assert kinds == {"taken away", "every resource", "every environment", "without"}
    assert len(MUTATIONS) > 150


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_the_matrix_notices_a_statement_made_worse(
    mutation: Mutation, noticed: dict[str, list[Case]]
) -> None:
    assert bool(noticed[str(mutation)]) != bool(mutation.equivalent), json.dumps(mutation.document, indent=1)


def test_every_excuse_is_needed() -> None:
    assert {why for m in MUTATIONS if (why := m.equivalent)} == set(EQUIVALENT.values())
