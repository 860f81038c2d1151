"""Parameters that contradict each other are refused by a sentence before anything is made."""

from __future__ import annotations

import pytest

from tests.stacks.static.template import EVERYTHING, NAMES, Template

REDIS = EVERYTHING["data"]

REFUSED = [
    ("firewall", {"AwsAccess": "endpoints"}, "S3PrefixListId is needed"),
    ("firewall", {"PublicCidr": "203.0.113.0/24"}, "PublicAccess is none"),
    ("data", {**REDIS, "RedisNodeType": ""}, "RedisNodeType is needed"),
    ("data", {**REDIS, "RedisSecurityGroupId": ""}, "RedisSecurityGroupId is needed"),
    ("data", {"RedisNodeType": "cache.t4g.small"}, "Broker is sqs"),
    (
        "public",
        {**EVERYTHING["public"], "PublicAccess": "none"},
        "PublicAccess is none. Set it to airflow or oidc",
    ),
    *(
        ("public", {**EVERYTHING["public"], name: ""}, f"{name} is needed")
        for name in EVERYTHING["public"]
        if name.startswith("Oidc")
    ),
    ("workers", {"ThirdInstanceType": "m5.xlarge"}, "SecondInstanceType is not"),
    ("workers", {"OnDemandPercent": "50"}, "SecondInstanceType is needed"),
    ("offload", {"CpuUnits": "512", "MemoryMiB": "8192"}, "2048 or 4096 MiB"),
    ("offload", {"CpuUnits": "1024", "MemoryMiB": "16384"}, "at most 8192 MiB"),
    ("offload", {"CpuUnits": "2048", "MemoryMiB": "2048"}, "4096 to 16384 MiB"),
    ("offload", {"CpuUnits": "4096", "MemoryMiB": "4096"}, "8192 MiB or more"),
]


@pytest.mark.parametrize(("name", "parameters", "sentence"), REFUSED)
def test_a_contradiction_is_refused_by_a_sentence(
    name: str, parameters: dict[str, str], sentence: str
) -> None:
    refusals = Template(name).refusals(**parameters)
    assert [refusal for refusal in refusals if sentence in refusal] != []


@pytest.mark.parametrize("name", NAMES)
def test_the_defaults_and_the_whole_of_a_template_are_refused_by_nothing(name: str) -> None:
    template = Template(name)
    # By default there is no public load balancer, and so no stack of one.
    least = {"PublicAccess": "airflow"} if name == "public" else {}
    assert template.refusals(**least) == []
    assert template.refusals(**EVERYTHING.get(name, {})) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_assertion_is_proven_to_refuse(name: str) -> None:
    assertions = {
        assertion["AssertDescription"]
        for rule in Template(name).body.get("Rules", {}).values()
        for assertion in rule["Assertions"]
    }
    proven = {
        refusal
        for refused, parameters, _ in REFUSED
        if refused == name
        for refusal in Template(name).refusals(**parameters)
    }
    assert assertions - proven == set()
