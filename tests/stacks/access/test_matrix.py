"""Who may do what, by simulation of IAM over the templates' policies: one test a cell of the matrix."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from rehearsal.aws.services.cloudformation.template import Json
from tests.stacks.access.cases import Case, matrix
from tests.stacks.access.simulation import asked, simulated
from tests.stacks.access.world import KEY, world
from tests.stacks.static.statements import ANY_RESOURCE, listed
from tests.stacks.static.template import EVERYTHING, NAMES, Template

MACHINES = (
    "webserver", "scheduler", "database", "builder", "worker", "heavy worker",
    "webserver's tasks", "scheduler's tasks", "worker's tasks", "heavy worker's tasks",
    "container", "container's launcher",
)  # fmt: skip
PEOPLE = ("operator", "user of the UI")
CASES = matrix()


@pytest.fixture(scope="module")
def decisions() -> dict[str, bool]:
    known = world()
    allowed = simulated(known.policies, [asked(case.request, known) for case in CASES])
    return dict(zip(map(str, CASES), allowed, strict=True))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_access_is_as_the_matrix_says(case: Case, decisions: dict[str, bool]) -> None:
    assert decisions[str(case)] == case.allowed, f"{case} with {dict(case.request.context)}"


def test_the_matrix_is_large_enough_and_says_each_thing_once() -> None:
    assert len(CASES) >= 120
    assert sum(case.allowed for case in CASES) >= 120
    assert len({str(case) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("role", MACHINES)
def test_each_role_has_cases_of_what_it_must_not_reach(role: str) -> None:
    refused = {
        (c.request.action, c.request.resource) for c in CASES if c.request.principal == role and not c.allowed
    }
    for wanted in (
        "iam:CreateUser on arn:aws:iam",
        "sts:AssumeRole on arn:aws:iam::210987654321",
        "ssm:GetParametersByPath on arn:aws:ssm:eu-west-1:123456789012:parameter/airkiln/other",
        "sqs:ReceiveMessage on arn:aws:sqs:eu-west-1:123456789012:airkiln-other",
        "s3:GetObject on arn:aws:s3:::airkiln-other",
        "autoscaling:SetDesiredCapacity on arn:aws:autoscaling:eu-west-1:123456789012:autoScalingGroup:",
        "ec2:TerminateInstances on arn:aws:ec2",
        f"kms:Decrypt on {KEY}",
    ):
        assert any(f"{action} on {resource}".startswith(wanted) for action, resource in refused), wanted


def test_what_is_refused_is_refused_for_want_of_a_permission_and_not_by_a_slip_of_the_pen() -> None:
    """Somebody who may do everything is allowed the same, but where the resource itself refuses."""
    known = world()
    asked_for = [
        case
        for case in CASES
        if case.request.principal in (*MACHINES, *PEOPLE)
        and not case.allowed
        and case.request.context.get("aws:SecureTransport") != "false"
        and case.request.action not in ("sts:AssumeRole", "kms:CreateGrant")
    ]
    allowed = simulated(
        known.policies, [asked(case.request, known, identity=["administrator"]) for case in asked_for]
    )
    assert len(asked_for) > 800
    assert [str(case) for case, is_allowed in zip(asked_for, allowed, strict=True) if not is_allowed] == []


def test_what_is_allowed_is_allowed_by_the_policies_of_the_role() -> None:
    known = world()
    # A role whose trust names another is that one's to assume: the trust alone allows it.
    asked_for = [
        case
        for case in CASES
        if case.request.principal in (*MACHINES, *PEOPLE)
        and case.allowed
        and case.request.action != "sts:AssumeRole"
    ]
    allowed = simulated(known.policies, [asked(case.request, known, identity=[]) for case in asked_for])
    assert [str(case) for case, is_allowed in zip(asked_for, allowed, strict=True) if is_allowed] == []


def test_every_action_that_a_policy_allows_has_a_case() -> None:
    known = world()
    shown = {
        (policy, case.request.action)
        for case in CASES
        if case.allowed
        for policy in (
            *known.principals[case.request.principal].policies,
            known.policy_of(case.request.resource),
        )
    }
    assert [pair for pair in granted() if pair not in shown] == []


def test_every_action_that_a_policy_allows_is_refused_to_its_holder_elsewhere() -> None:
    """And where the API knows no resource, or the policy is a resource's, to somebody else."""
    known = world()
    refused: dict[str, set[str]] = {}
    for case in CASES:
        if not case.allowed:
            refused.setdefault(case.request.action, set()).add(case.request.principal)
    holders: dict[str, set[str]] = {}
    for name, principal in known.principals.items():
        for policy in principal.policies:
            holders.setdefault(policy, set()).add(name)

    def tried(policy: str, action: str) -> bool:
        held = policy in holders and action not in ANY_RESOURCE
        return bool(refused.get(action, set()) & (holders[policy] if held else known.principals.keys()))

    assert [pair for pair in granted() if not tried(*pair)] == []


def test_every_statement_of_the_templates_is_in_the_matrix() -> None:
    """Found by its form, wherever a template has it, so that a new kind of policy is not forgotten."""
    decided = {_said(statement) for policy in world().policies.values() for statement in policy["Statement"]}
    written = {
        (f"{name}.{owner}", _said(statement))
        for name in NAMES
        for owner, resource in Template(name).deployed(**EVERYTHING.get(name, {})).items()
        for statement in _statements(resource)
    }
    assert len({owner.partition(".")[0] for owner, _ in written}) > 5
    assert sorted(owner for owner, said in written if said not in decided) == []


def _statements(node: Json) -> Iterator[dict[str, Any]]:
    """The statements of every policy inside a resource."""
    if isinstance(node, dict):
        statements = node.get("Statement")
        if isinstance(statements, list):
            yield from statements
        for value in node.values():
            yield from _statements(value)
    elif isinstance(node, list):
        for value in node:
            yield from _statements(value)


def _said(statement: dict[str, Any]) -> str:
    """What a statement says, apart from its resources and principals, whose names differ in the world."""
    actions = sorted(listed(statement["Action"]))
    conditions = sorted(statement.get("Condition", {}))
    return json.dumps([statement.get("Sid"), statement["Effect"], actions, conditions])


def granted() -> Iterator[tuple[str, str]]:
    """(policy, action) of everything that is allowed by name."""
    for name, document in world().policies.items():
        for statement in document["Statement"]:
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            if statement["Effect"] == "Allow" and not name.startswith(("other.", "administrator")):
                yield from ((name, action) for action in actions if "*" not in action)


def test_a_permissions_boundary_bounds_a_role() -> None:
    """A boundary is given by parameter; here one that leaves S3 out."""
    known = world()
    bounded = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["ssm:*", "kms:*"], "Resource": "*"}],
    }
    cases = [case for case in CASES if case.request.principal == "worker" and case.allowed]
    allowed = simulated(
        {**known.policies, "boundary": bounded},
        [asked(case.request, known, boundary=["boundary"]) for case in cases],
    )
    reached = {case.request.action.split(":")[0] for case, yes in zip(cases, allowed, strict=True) if yes}
    assert reached == {"ssm", "kms"}
