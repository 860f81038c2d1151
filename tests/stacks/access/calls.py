"""From a call of an API to the permissions that it needs: IAM's actions, their resources and circumstances.

Most calls need the permission of their own name. What they need beside it is the key behind a queue, a bucket
or a parameter, by the service that asks KMS for the caller:

- SQS: a sender needs GenerateDataKey and Decrypt, a taker Decrypt
  (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html)
- S3 with a bucket key: the encryption context is the bucket's ARN; parts of an upload need Decrypt too
  (docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html)
- Parameter Store: the encryption context is the parameter's ARN
  (docs.aws.amazon.com/kms/latest/developerguide/services-parameter-store.html)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tests.stacks.access.simulation import Request
from tests.stacks.access.world import KEY, expanded
from tests.stacks.static.template import REGION

RECORDED = Path(__file__).with_name("recorded")

_S3 = {
    "HeadObject": "s3:GetObject",
    "GetObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "HeadBucket": "s3:ListBucket",
    "ListObjects": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
}
_GROUPS = {"webserver": "webserver", "scheduler": "scheduler", "worker": "worker-default"}
"""The group of a role's instances; some calls name the instance only."""

Permission = tuple[str, str, dict[str, str]]


def requests(role: str, call: str, on: Mapping[str, Any]) -> list[Request]:
    """What a role must be allowed for a call; LookupError for a call of a service that is not known here."""
    service, _, operation = call.partition(":")
    permissions: dict[str, Callable[[str, Mapping[str, Any]], Iterator[Permission]]] = {
        "s3": _s3,
        "sqs": _sqs,
        "ssm": _ssm,
        "ecs": _ecs,
        "cloudwatch": _cloudwatch,
        "ec2": _ec2,
        "cloudformation": _cloudformation,
        "logs": _logs,
        "sts": _sts,
        "autoscaling": partial(_autoscaling, group=_GROUPS.get(role, role)),
    }
    if service not in permissions:
        raise LookupError(f"{call}: calls.py does not know which permissions {service} needs; say it there")
    return [Request(role, *permission) for permission in permissions[service](operation, on)]


def _through(service: str, **context: str) -> dict[str, str]:
    named = {f"kms:EncryptionContext:{key}": value for key, value in context.items()}
    return {"kms:ViaService": f"{service}.{REGION}.amazonaws.com", **named}


def _s3(operation: str, on: Mapping[str, Any]) -> Iterator[Permission]:
    action, bucket = _S3[operation], f"arn:aws:s3:::{on['Bucket']}"
    if action == "s3:ListBucket":
        yield action, bucket, {"s3:prefix": on["Prefix"]} if "Prefix" in on else {}
        return
    yield action, f"{bucket}/{on['Key']}", {}
    context = _through("s3", **{"aws:s3:arn": bucket})
    if operation == "HeadObject":
        # A key that is not there is 404 for who may list it and 403 for others, and Airflow takes 403 for a
        # fault. S3 asks with the key as the prefix (github.com/ceph/ceph/pull/68577 "to match aws behavior").
        yield "s3:ListBucket", bucket, {"s3:prefix": on["Key"]}
    elif operation == "GetObject":
        yield "kms:Decrypt", KEY, context
    else:
        yield "kms:GenerateDataKey", KEY, context
        yield "kms:Decrypt", KEY, context


def _sqs(operation: str, on: Mapping[str, Any]) -> Iterator[Permission]:
    queue = expanded(f"sqs:{on['QueueUrl'].rpartition('/')[2]}")
    yield f"sqs:{operation}", queue, {}
    if operation in ("SendMessage", "ReceiveMessage"):
        yield "kms:Decrypt", KEY, _through("sqs", **{"aws:sqs:arn": queue})
    if operation == "SendMessage":
        yield "kms:GenerateDataKey", KEY, _through("sqs", **{"aws:sqs:arn": queue})


def _ssm(operation: str, on: Mapping[str, Any]) -> Iterator[Permission]:
    path = expanded(f"ssm:parameter{on['Path']}")
    yield f"ssm:{operation}", path, {}
    if on.get("WithDecryption"):
        yield "kms:Decrypt", KEY, _through("ssm", PARAMETER_ARN=f"{path}/AIRFLOW__CORE__FERNET_KEY")


def _ecs(operation: str, on: Mapping[str, Any]) -> Iterator[Permission]:
    cluster = {"ecs:cluster": expanded(f"ecs:cluster/{on['cluster']}")}
    if operation == "RunTask":
        yield "ecs:RunTask", on["taskDefinition"], cluster
        for role in ("TaskRole", "LaunchRole"):
            to_ecs = {"iam:PassedToService": "ecs-tasks.amazonaws.com"}
            yield "iam:PassRole", expanded(f"iam:role/{role}"), to_ecs
        return
    for task in on.get("tasks", [on.get("task")]):
        arn = task if task.startswith("arn:") else expanded(f"ecs:task/{on['cluster']}/{task}")
        yield f"ecs:{operation}", arn, cluster


def _cloudwatch(operation: str, on: Mapping[str, Any]) -> Iterator[Permission]:
    # Who reads is bound to no namespace.
    named = {"cloudwatch:namespace": on["Namespace"]} if operation == "PutMetricData" else {}
    yield f"cloudwatch:{operation}", "*", named


def _ec2(operation: str, _on: Mapping[str, Any]) -> Iterator[Permission]:
    yield f"ec2:{operation}", "*", {}


def _sts(operation: str, on: Mapping[str, Any]) -> Iterator[Permission]:
    yield f"sts:{operation}", on["RoleArn"], {}


def _cloudformation(operation: str, on: Mapping[str, Any]) -> Iterator[Permission]:
    yield f"cloudformation:{operation}", expanded(f"cloudformation:stack/{on['StackName']}/0"), {}


def _logs(operation: str, on: Mapping[str, Any]) -> Iterator[Permission]:
    stream = f"logs:log-group:{on['logGroupName']}:log-stream:{on['logStreamName']}"
    yield f"logs:{operation}", expanded(stream), {}


def _autoscaling(operation: str, on: Mapping[str, Any], group: str) -> Iterator[Permission]:
    if operation.startswith("Describe"):
        yield f"autoscaling:{operation}", "*", {}
    else:
        # A scheduler host reports itself, and ends workers.
        of_instance = "worker-default" if operation == "TerminateInstanceInAutoScalingGroup" else group
        name = on.get("AutoScalingGroupName", f"airkiln-test-{of_instance}")
        yield f"autoscaling:{operation}", expanded(f"group:{name}"), {}


def recorded(name: str) -> dict[str, Any]:
    """A file of recorded/."""
    found: dict[str, Any] = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))
    return found


def documented() -> list[dict[str, Any]]:
    """What the vendors' agents call, by their documentation."""
    found: list[dict[str, Any]] = yaml.safe_load((RECORDED / "agents.yaml").read_text(encoding="utf-8"))
    return found


def played() -> list[tuple[str, Request]]:
    """(scene, request) of every recorded call, for every role that plays the scene."""
    scenes = [scene for name in ("airkiln", "airflow") for scene in recorded(name)["scenes"]]
    return [
        (scene["scene"], request)
        for scene in scenes
        for role in scene["roles"]
        for call in scene["calls"]
        for request in requests(role, call["call"], call["on"])
    ]
