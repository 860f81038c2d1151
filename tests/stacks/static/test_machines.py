"""What boots, where, how it is judged, and how it ends."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from airkiln.lifecycle import hook
from airkiln_airflow import liveness
from rehearsal.aws.services.cloudformation.template import Json
from tests.stacks.static.template import EVERYTHING, SAMPLES, Deployment, Template

ROOT = Path(__file__).parents[3]
GROUPS = {"webserver": "webserver", "scheduler": "scheduler", "workers": "worker"}
MACHINES = {**GROUPS, "database-step": "database"}


def deployed(name: str, **given: str) -> dict[str, dict[str, Any]]:
    return Template(name).deployed(**(given or EVERYTHING.get(name, {})))


def launched(name: str) -> dict[str, Any]:
    data = deployed(name)["LaunchTemplate"]["Properties"]["LaunchTemplateData"]
    assert isinstance(data, dict)
    return data


def tags(name: str) -> dict[str, str]:
    resource = deployed(name).get("Group") or deployed(name)["Step"]
    listed = resource["Properties"]["Tags"]
    assert all(tag.get("PropagateAtLaunch", name == "database-step") for tag in listed)
    return {tag["Key"]: tag["Value"] for tag in listed}


def group(name: str, **given: str) -> dict[str, Any]:
    found = deployed(name, **given)["Group"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", MACHINES)
def test_an_instance_answers_imdsv2_only_for_itself_and_shows_its_tags(name: str) -> None:
    assert launched(name)["MetadataOptions"] == {
        "HttpEndpoint": "enabled",
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 1,
        "InstanceMetadataTags": "enabled",
    }


@pytest.mark.parametrize("name", MACHINES)
def test_an_instance_has_one_volume_encrypted_by_the_key(name: str) -> None:
    (device,) = launched(name)["BlockDeviceMappings"]
    assert device["DeviceName"] == "/dev/xvda"
    assert (device["Ebs"]["VolumeType"], device["Ebs"]["Encrypted"]) == ("gp3", True)
    assert device["Ebs"]["KmsKeyId"] == SAMPLES["KeyArn"]


@pytest.mark.parametrize("name", MACHINES)
def test_a_volume_is_initialised_at_a_rate_only_where_one_is_given(name: str) -> None:
    def rate(**given: str) -> Json:
        data = Template(name).deployed(**given)["LaunchTemplate"]["Properties"]["LaunchTemplateData"]
        return data["BlockDeviceMappings"][0]["Ebs"].get("VolumeInitializationRate")

    assert rate() is None
    assert rate(VolumeInitializationRate="300") == "300"


@pytest.mark.parametrize(("name", "role"), MACHINES.items())
def test_an_instance_learns_its_environment_and_role_from_its_tags(name: str, role: str) -> None:
    found = tags(name)
    assert (found["airkiln:environment"], found["airkiln:role"]) == ("test", role)
    assert found.get("airkiln:pool") == ("default" if role == "worker" else None)


@pytest.mark.parametrize("name", MACHINES)
def test_an_instance_signals_the_resource_whose_creation_waits_for_it(name: str) -> None:
    stack, resource = tags(name)["airkiln:signal"].split("/")
    assert stack == f"airkiln-test-{name}"
    assert "ResourceSignal" in deployed(name)[resource]["CreationPolicy"]


@pytest.mark.parametrize("name", GROUPS)
def test_no_update_of_a_stack_replaces_an_instance(name: str) -> None:
    assert group(name)["UpdatePolicy"] == {
        "AutoScalingScheduledAction": {"IgnoreUnmodifiedGroupSizeProperties": True}
    }


@pytest.mark.parametrize("name", GROUPS)
def test_the_version_that_a_group_launches_is_a_number_that_a_release_sets(name: str) -> None:
    properties = group(name, LaunchTemplateVersion="7")["Properties"]
    specification = (
        properties["MixedInstancesPolicy"]["LaunchTemplate"]["LaunchTemplateSpecification"]
        if name == "workers"
        else properties["LaunchTemplate"]
    )
    assert specification == {"LaunchTemplateId": "LaunchTemplate", "Version": "7"}
    assert Template(name).parameters["LaunchTemplateVersion"]["Type"] == "Number"


@pytest.mark.parametrize("name", GROUPS)
def test_no_group_is_told_a_desired_capacity(name: str) -> None:
    assert "DesiredCapacity" not in group(name)["Properties"]


def test_every_worker_that_ends_is_drained_by_a_hook_made_with_its_group() -> None:
    (made,) = group("workers")["Properties"]["LifecycleHookSpecificationList"]
    assert made["LifecycleHookName"] == hook.NAME
    assert made["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_TERMINATING"
    assert made["DefaultResult"] == "CONTINUE"


@pytest.mark.parametrize("name", GROUPS)
def test_no_group_has_a_hook_that_nobody_completes(name: str) -> None:
    """Each termination would last until the hook's time-out. The daemon that completes it runs on workers."""
    assert ("LifecycleHookSpecificationList" in group(name)["Properties"]) == (name == "workers")
    assert "AWS::AutoScaling::LifecycleHook" not in Template(name).text


@pytest.mark.parametrize("name", ["webserver", "scheduler"])
def test_an_instance_is_not_replaced_or_given_up_while_its_volume_still_loads(name: str) -> None:
    """Modules on a volume that loads from its snapshot take minutes to read: the units have that long."""
    restart = ROOT / "roles/airflow/templates/etc/systemd/system/airflow-.service.d/20-restart.conf.j2"
    (minutes,) = re.findall(r"^TimeoutStartSec=(\d+)min$", restart.read_text(), re.M)
    properties = Template(name).deployed()["Group"]["Properties"]
    assert int(properties["HealthCheckGracePeriod"]) >= int(minutes) * 60
    timeout = Template(name).parameters["BootTimeout"]["Default"]
    assert int(re.findall(r"\d+", timeout)[0]) > int(minutes)


@pytest.mark.parametrize("name", GROUPS)
def test_an_instance_has_the_tags_of_its_group_from_the_launch_on(name: str) -> None:
    (tagged,) = [
        each["Tags"] for each in launched(name)["TagSpecifications"] if each["ResourceType"] == "instance"
    ]
    assert {tag["Key"]: tag["Value"] for tag in tagged} == tags(name)


@pytest.mark.parametrize("name", GROUPS)
def test_a_group_spans_the_private_subnets(name: str) -> None:
    assert group(name)["Properties"]["VPCZoneIdentifier"] == SAMPLES["PrivateSubnetIds"].split(",")


def test_web_servers_stand_behind_both_doors_and_are_judged_by_them() -> None:
    properties = group("webserver")["Properties"]
    assert properties["TargetGroupARNs"] == [
        SAMPLES["InternalTargetsArn"],
        EVERYTHING["webserver"]["PublicTargetsArn"],
    ]
    assert properties["HealthCheckType"] == "ELB"
    assert Template("webserver").deployed()["Group"]["Properties"]["TargetGroupARNs"] == [
        SAMPLES["InternalTargetsArn"]
    ]


@pytest.mark.parametrize(
    ("percent", "setting", "rebalances"),
    [("0", "drain", True), ("0", "ignore", False), ("100", "drain", False)],
)
def test_the_group_rebalances_where_the_pool_drains_for_that(
    percent: str, setting: str, rebalances: bool
) -> None:
    given = {"OnDemandPercent": percent, "SecondInstanceType": "m6i.xlarge", "Rebalance": setting}
    made = Template("workers").deployed(**given)["Group"]["Properties"]
    assert made["CapacityRebalance"] is rebalances


def test_workers_are_spot_instances_of_several_types_where_it_is_asked() -> None:
    policy = group("workers")["Properties"]["MixedInstancesPolicy"]
    assert [override["InstanceType"] for override in policy["LaunchTemplate"]["Overrides"]] == [
        "m7i.xlarge",
        "m6i.xlarge",
        "m5.xlarge",
    ]
    assert policy["InstancesDistribution"]["OnDemandPercentageAboveBaseCapacity"] == "0"
    default = Template("workers").deployed()["Group"]["Properties"]
    on_demand = default["MixedInstancesPolicy"]["InstancesDistribution"][
        "OnDemandPercentageAboveBaseCapacity"
    ]
    assert on_demand == "100"


def test_the_queue_of_a_pool_has_dead_letters_and_strands_a_message_for_a_minute() -> None:
    resources = Template("queues").deployed(PoolName="gpu")
    queue = resources["Queue"]["Properties"]
    assert (queue["QueueName"], queue["VisibilityTimeout"]) == ("airkiln-test-gpu", 60)
    assert queue["RedrivePolicy"]["deadLetterTargetArn"].endswith(":airkiln-test-gpu-dead")


def test_workers_without_a_queue_have_no_right_to_one() -> None:
    role = Template("workers").deployed(QueueArn="")["TaskRole"]
    assert "sqs:" not in json.dumps(role)


@pytest.mark.parametrize(
    ("template", "role", "parameter"),
    [
        ("workers", "TaskRole", "ExtraPolicyArns"),
        ("iam", "SchedulerTaskRole", "SchedulerExtraPolicyArns"),
        ("iam", "WebserverTaskRole", "WebserverExtraPolicyArns"),
    ],
)
def test_further_policies_are_those_of_tasks_and_not_of_instances(
    template: str, role: str, parameter: str
) -> None:
    given = EVERYTHING[template][parameter]
    attached = {
        name: resource["Properties"].get("ManagedPolicyArns", [])
        for name, resource in deployed(template).items()
        if resource["Type"] == "AWS::IAM::Role"
    }
    assert [name for name, policies in attached.items() if given in policies] == [role]


@pytest.mark.parametrize(
    ("template", "role", "parameter", "own"),
    [
        ("workers", "TaskRole", "ExtraPolicyArns", ["TaskFilesPolicyArn"]),
        ("iam", "SchedulerTaskRole", "SchedulerExtraPolicyArns", ["TaskFilesPolicyArn"]),
        ("iam", "WebserverTaskRole", "WebserverExtraPolicyArns", []),
    ],
)
def test_tasks_have_no_policy_of_the_instances(
    template: str, role: str, parameter: str, own: list[str]
) -> None:
    wanted = [SAMPLES[name] for name in own]
    further = EVERYTHING[template][parameter]
    assert deployed(template)[role]["Properties"].get("ManagedPolicyArns", []) == [*wanted, further]
    alone = Template(template).deployed()[role]["Properties"]
    assert alone.get("ManagedPolicyArns", []) == wanted


@pytest.mark.parametrize("template", ["workers", "scheduler", "webserver"])
def test_an_instance_takes_further_security_groups(template: str) -> None:
    assert launched(template)["SecurityGroupIds"][2:] == [EVERYTHING[template]["ExtraSecurityGroupIds"]]


DOORS = {"Internal": "edge", "Public": "public"}


@pytest.mark.parametrize(("door", "port"), [("Internal", 8080), ("Public", 8081)])
def test_a_door_knows_a_web_server_by_what_depends_on_no_database(door: str, port: int) -> None:
    targets = deployed(DOORS[door])[f"{door}Targets"]["Properties"]
    assert (targets["Protocol"], targets["Port"]) == ("HTTP", port)
    assert targets["TargetType"] == "instance"
    assert targets["HealthCheckPath"] == liveness.PATH
    assert targets["HealthCheckIntervalSeconds"] == 10
    assert (targets["HealthyThresholdCount"], targets["UnhealthyThresholdCount"]) == (2, 3)
    assert targets["Matcher"] == {"HttpCode": "200"}


@pytest.mark.parametrize("door", DOORS)
def test_a_door_speaks_tls_and_keeps_an_access_log(door: str) -> None:
    resources = deployed(DOORS[door])
    listener = resources[f"{door}Https"]["Properties"]
    assert (listener["Protocol"], listener["Port"]) == ("HTTPS", 443)
    assert listener["SslPolicy"] == "ELBSecurityPolicy-TLS13-1-3-2021-06"
    attributes = {
        a["Key"]: a["Value"] for a in resources[f"{door}LoadBalancer"]["Properties"]["LoadBalancerAttributes"]
    }
    assert attributes["access_logs.s3.enabled"] == "true"


@pytest.mark.parametrize("door", DOORS)
def test_a_door_appends_the_address_of_its_client_and_nothing_else(door: str) -> None:
    """The last address is what the web server believes (src/airkiln_airflow/proxies.py)."""
    properties = deployed(DOORS[door])[f"{door}LoadBalancer"]["Properties"]
    attributes = {each["Key"]: each["Value"] for each in properties["LoadBalancerAttributes"]}
    assert attributes["routing.http.xff_header_processing.mode"] == "append"
    assert attributes["routing.http.xff_client_port.enabled"] == "false"
    assert attributes["routing.http.drop_invalid_header_fields.enabled"] == "true"


@pytest.mark.parametrize("prefix", ["", "/af"])
def test_links_lead_to_where_people_open_airflow(prefix: str) -> None:
    edge = Deployment(Template("edge"), {"UrlPrefix": prefix}).outputs()
    assert edge["UiUrl"] == f"https://airflow.internal.example.com{prefix}/"
    assert edge["ExecutionApiUrl"] == f"https://airflow.internal.example.com{prefix}/execution/"
    public = Deployment(Template("public"), EVERYTHING["public"] | {"UrlPrefix": prefix}).outputs()
    assert public["UiUrl"] == f"https://airflow.example.com{prefix}/"


def test_the_internal_door_leads_to_everything() -> None:
    resources = Template("edge").deployed()
    assert resources["InternalLoadBalancer"]["Properties"]["Scheme"] == "internal"
    assert resources["InternalHttps"]["Properties"]["DefaultActions"] == [
        {"Type": "forward", "TargetGroupArn": "InternalTargets"}
    ]
