"""Write src/airkiln/aws/models: the parts of botocore's service models that Airkiln uses.

`python -m tools.service_models` takes every operation below from the botocore in this environment, without
documentation. A shape that is there already keeps its members: those that Airkiln does not read were removed
by hand. Run it after an update of boto3; tests/unit/airkiln/aws compares the result with botocore.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from botocore.loaders import Loader

from airkiln.aws.clients import MODELS

OPERATIONS = {
    "autoscaling": (
        "CompleteLifecycleAction",
        "DescribeAutoScalingGroups",
        "DescribeAutoScalingInstances",
        "RecordLifecycleActionHeartbeat",
        "SetDesiredCapacity",
        "SetInstanceHealth",
        "SetInstanceProtection",
        "TerminateInstanceInAutoScalingGroup",
    ),
    "cloudformation": ("SignalResource",),
    "cloudwatch": ("GetMetricData", "PutMetricData"),
    "ec2": ("DescribeInstances",),
    "logs": ("CreateLogStream", "PutLogEvents"),
    "ssm": ("GetParametersByPath",),
    "sts": ("AssumeRole",),
}

Json = Any


def main() -> None:
    """Write every model."""
    loader = Loader()
    for service, operations in OPERATIONS.items():
        version = loader.determine_latest_version(service, "service-2")
        path = MODELS / service / version / "service-2.json"
        before = json.loads(path.read_text()) if path.exists() else {"shapes": {}}
        model = part_of(loader.load_service_model(service, "service-2"), operations, before["shapes"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(model, indent=2) + "\n")


def part_of(full: Json, operations: tuple[str, ...], kept: Json) -> Json:
    """The operations and every shape that they reach. `kept` are shapes whose members are the only ones."""
    shapes: dict[str, Json] = {}
    waiting = [name for operation in operations for name in names(full["operations"][operation])]
    while waiting:
        name = waiting.pop()
        if name in shapes:
            continue
        shape = full["shapes"][name]
        if name in kept and "members" in shape:
            members = {key: shape["members"][key] for key in kept[name]["members"]}
            shape = {**shape, "members": members}
        shapes[name] = shape
        waiting += names(shape)
    return without_documentation(
        {
            "version": full["version"],
            "metadata": full["metadata"],
            "operations": {name: full["operations"][name] for name in operations},
            "shapes": dict(sorted(shapes.items())),
        }
    )


def names(thing: Json) -> Iterator[str]:
    """The shapes that an operation or a shape refers to."""
    if isinstance(thing, dict):
        for key, value in thing.items():
            if key == "shape" and isinstance(value, str):
                yield value
            else:
                yield from names(value)
    elif isinstance(thing, list):
        for each in thing:
            yield from names(each)


def without_documentation(thing: Json) -> Json:
    """The same without the texts of botocore's documentation."""
    if isinstance(thing, dict):
        return {key: without_documentation(value) for key, value in thing.items() if key != "documentation"}
    return [without_documentation(each) for each in thing] if isinstance(thing, list) else thing


if __name__ == "__main__":
    main()
