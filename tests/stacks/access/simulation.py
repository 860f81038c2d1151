"""Asks the simulator of IAM's decisions (npm @cloud-copilot/iam-simulate), many requests at once."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.stacks.access.world import World
from tests.stacks.static.template import ACCOUNT

HERE = Path(__file__).parent
TOOLS = HERE.parents[2] / "build" / "stacks" / "guard"
SIMULATOR = TOOLS / "node_modules" / "@cloud-copilot" / "iam-simulate"


@dataclass(frozen=True)
class Request:
    """One call of one principal on one resource, with what AWS knows of its circumstances."""

    principal: str
    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)
    boundary: str | None = None

    def __str__(self) -> str:
        circumstances = ", ".join(f"{key}={value}" for key, value in self.context.items())
        return f"{self.principal}: {self.action} on {self.resource}" + (
            f" with {circumstances}" if circumstances else ""
        )


def asked(request: Request, world: World, **changed: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """The request as simulate.mjs reads it. It goes over TLS unless it says otherwise."""
    principal = world.principals[request.principal]
    boundary = (*principal.boundary, *([request.boundary] if request.boundary else []))
    return {
        "principal": principal.arn,
        "action": request.action,
        "resource": request.resource,
        "account": ACCOUNT,
        "context": {"aws:SecureTransport": "true", **request.context},
        "identity": principal.policies,
        "boundary": boundary,
        "resourcePolicy": world.policy_of(request.resource),
        **changed,
    }


def simulated(policies: Mapping[str, Any], requests: Iterable[Mapping[str, Any]]) -> list[bool]:
    """Whether each request is allowed; AssertionError for one that AWS does not know."""
    node = shutil.which("node")
    assert node, "node is missing: it comes with npm, which make stacks-tools needs"
    assert SIMULATOR.exists(), f"{SIMULATOR} is missing: make stacks-tools"
    listed = list(requests)
    done = subprocess.run(
        [node, str(HERE / "simulate.mjs"), str(TOOLS)],
        input=json.dumps({"policies": policies, "requests": listed}),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    problems = [
        f"{request['action']} on {request['resource']}: {result['problem']}"
        for request, result in zip(listed, results, strict=True)
        if "problem" in result
    ]
    assert not problems, "\n".join(problems)
    return [result["result"] == "Allowed" for result in results]
