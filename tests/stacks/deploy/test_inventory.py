"""The dynamic inventory finds an environment's instances by their tags."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.stacks.deploy.local_aws import REGION, ROOT, LocalAws, process_environment


def test_instances_are_grouped_by_environment_and_role_and_reached_by_sessions(
    aws: LocalAws, image: str
) -> None:
    made = {
        (environment, role): aws.client("ec2").run_instances(
            ImageId=image,
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[
                {
                    "ResourceType": "instance",
                    "Tags": [
                        {"Key": "airkiln:environment", "Value": environment},
                        {"Key": "airkiln:role", "Value": role},
                    ],
                }
            ],
        )["Instances"][0]["InstanceId"]
        for environment, role in (("one", "worker"), ("one", "scheduler"), ("two", "worker"))
    }
    program = Path(sys.executable).with_name("ansible-inventory")
    listed = subprocess.run(
        [str(program), "--inventory", "inventory/aws_ec2.yml", "--list"],
        cwd=ROOT,
        env=process_environment(aws) | {"AWS_REGION": REGION, "AIRKILN_ENVIRONMENT": "one"},
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )
    found = json.loads(listed.stdout)
    worker, scheduler = made["one", "worker"], made["one", "scheduler"]
    assert sorted(found["one"]["hosts"]) == sorted([worker, scheduler])
    assert found["role_worker"]["hosts"] == [worker]
    host = json.dumps(found["_meta"]["hostvars"][worker])
    assert all(text in host for text in ("amazon.aws.aws_ssm", "airkiln-one-session", REGION))
