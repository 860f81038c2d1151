"""Who does not reach instance metadata: the firewall's rules, asked with users and addresses."""

from __future__ import annotations

import pytest

from tests.unit.roles.rendering import render

RULES = "/etc/airkiln/metadata.nft"
SANDBOX = "airflow-.service.d/10-sandbox.conf"
GUARD = "airkiln-metadata-guard.service"
METADATA = {"ip": "169.254.169.254", "ip6": "fd00:ec2::254"}
"""https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html"""
DYNAMIC = ("61184", "65519")
"""The first and the last user that systemd gives units with DynamicUser=: https://systemd.io/UIDS-GIDS"""


def verdict(user: str, family: str, address: str) -> str:
    """What the chain's first rule that fits says of a connection of a user, a number or a name."""
    chain = render("boot", RULES).partition("chain output {")[2].partition("}")[0].splitlines()
    policy = "accept"
    for words in filter(None, (line.split() for line in chain)):
        if words[0] == "type":
            assert words[1:] == ["filter", "hook", "output", "priority", "filter;", "policy", "accept;"]
            continue
        family_, daddr, to, meta, skuid, who, decision = words
        assert (daddr, meta, skuid) == ("daddr", "meta", "skuid")
        first, _, last = who.partition("-")
        fits = who == f'"{user}"' or (
            user.isdigit() and first.isdigit() and int(first) <= int(user) <= int(last or first)
        )
        if (family_, to) == (family, address) and fits:
            return decision
    return policy


@pytest.mark.parametrize("family", METADATA)
@pytest.mark.parametrize("user", ["airflow", *DYNAMIC])
def test_a_user_of_other_peoples_code_reaches_no_address_of_metadata(user: str, family: str) -> None:
    assert verdict(user, family, METADATA[family]) == "reject"


@pytest.mark.parametrize("family", METADATA)
@pytest.mark.parametrize("user", ["root", "0", "61183", "65520"])
def test_the_programs_of_root_reach_metadata(user: str, family: str) -> None:
    assert verdict(user, family, METADATA[family]) == "accept"


@pytest.mark.parametrize(("family", "address"), [("ip", "169.254.169.253"), ("ip6", "fd00:ec2::253")])
def test_airflow_reaches_amazons_name_server(family: str, address: str) -> None:
    assert verdict("airflow", family, address) == "accept"


def test_the_rules_are_those_that_the_unit_loads() -> None:
    assert f"ExecStart=/usr/sbin/nft --file {RULES}" in render("boot", GUARD).splitlines()


def test_no_unit_of_airflow_starts_without_the_rule() -> None:
    lines = render("airflow", SANDBOX).splitlines()
    assert f"Requires={GUARD}" in lines
    assert any(GUARD in line.split("=")[1].split() for line in lines if line.startswith("After="))
