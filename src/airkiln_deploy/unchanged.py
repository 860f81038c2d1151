"""Which stacks are what a deployment would make them, so that no request is needed for them.

UpdateStack compares template, parameters and tags with those of the stack's last deployment, not with its
resources, and answers "No updates are to be performed" where they are the same. Asking for that takes longer
than anything else of a deployment that has nothing to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airkiln_deploy.plan import DATABASE_STEP, parameters
from airkiln_deploy.stacks import SETTLED
from airkiln_deploy.template import as_text

Json = Any

ASKED = "AWS::SSM::Parameter::"
"""Begins the types of parameters whose values CloudFormation looks up again at each update."""


def unchanged(
    planned: list[Mapping[str, Json]],
    present: Mapping[str, Mapping[str, Json]],
    templates: Mapping[str, Mapping[str, Json]],
    tags: Mapping[str, Json],
    outputs: Mapping[str, Mapping[str, Json]],
) -> dict[str, dict[str, str]]:
    """The outputs of the stacks that are certain not to change, by their names without the environment's.

    A stack that takes outputs of one that may change is not certain. Nor is one whose template could not be
    read.

    :param planned: the stacks (`plan.plan`), in order.
    :param present: what AWS holds (`environment.facts`).
    :param templates: what they would get (`template.templates`).
    :param tags: what they would get.
    :param outputs: those of stacks that are not deployed, such as of a network that the team brings.
    """
    known = {short: dict(values) for short, values in outputs.items()}
    found: dict[str, dict[str, str]] = {}
    open_questions: set[str] = set()
    for stack in planned:
        if not stack["wanted"] or stack["kind"] == DATABASE_STEP:
            continue
        sources = {source for source, _ in stack["inputs"].values()}
        now = present.get(stack["name"], {})
        if sources & open_questions or not _same(stack, now, templates[stack["kind"]], tags, known):
            open_questions.add(stack["short"])
            continue
        found[stack["short"]] = known[stack["short"]] = dict(now["outputs"])
    return found


def _same(
    stack: Mapping[str, Json],
    now: Mapping[str, Json],
    template: Mapping[str, Json],
    tags: Mapping[str, Json],
    outputs: Mapping[str, Mapping[str, Json]],
) -> bool:
    """Whether template, tags and each parameter are those that the stack has."""
    if now.get("status") not in SETTLED or now.get("template", "") != template["digest"]:
        return False
    if now["tags"] != {str(key): str(value) for key, value in tags.items()}:
        return False
    wanted = parameters(stack, outputs)["all"]
    return all(
        _has(now["parameters"].get(name), form, wanted.get(name, form.get("Default")))
        for name, form in template["parameters"].items()
    )


def _has(present: str | None, form: Mapping[str, Json], value: Json) -> bool:
    """Whether a parameter has this value, and an update could not give it another one."""
    if present is None or form.get("NoEcho") or str(form["Type"]).startswith(ASKED):
        return False
    return isinstance(value, Mapping) or as_text(value) == present
