"""Who may open a connection to whom, as rules of nftables."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from rehearsal.linux.packet_filter import Group, Permission, ruleset

WEB, WORKER, DATABASE = (IPv4Address(f"10.42.1.{last}") for last in (4, 5, 6))
TO_DATABASE = Permission("tcp", 5432, 5432, group="database")
FROM_WORKER = Permission("tcp", 5432, 5432, group="worker")
GROUPS = {"worker": Group(outgoing=(TO_DATABASE,)), "database": Group(incoming=(FROM_WORKER,))}
MEMBERS = {WORKER: ["worker"], DATABASE: ["database"]}


def chains(text: str) -> dict[str, list[str]]:
    """The rules of each chain."""
    blocks = [block.splitlines() for block in text.split("\n}\n")]
    return {lines[0].split()[1]: lines[1:] for lines in blocks if lines and lines[0].startswith("chain ")}


def jumps(text: str, name: str) -> dict[str, str]:
    """The elements of a map."""
    _, _, rest = text.partition(f"map {name} {{")
    listed = rest.partition("elements = { ")[2].partition(" }")[0]
    return dict(element.split(" : ") for element in listed.split(", "))


def test_a_connection_leaves_by_its_sources_rules_and_arrives_by_its_destinations() -> None:
    text = ruleset(MEMBERS, GROUPS)
    found = chains(text)
    out = jumps(text, "leaving")[str(WORKER)].removeprefix("jump ")
    into = jumps(text, "arriving")[str(DATABASE)].removeprefix("jump ")
    assert found[out] == ["ip daddr @database tcp dport 5432 return", "counter drop"]
    assert found[into] == ["ip saddr @worker tcp dport 5432 return", "counter drop"]
    assert found["forward"][-2:] == ["ip saddr vmap @leaving", "ip daddr vmap @arriving"]


def test_a_group_that_permits_nothing_drops_everything() -> None:
    text = ruleset(MEMBERS, GROUPS)
    into_worker = jumps(text, "arriving")[str(WORKER)].removeprefix("jump ")
    assert chains(text)[into_worker] == ["counter drop"]


def test_a_source_group_stands_for_the_addresses_of_its_members_alone() -> None:
    text = ruleset(MEMBERS | {WEB: ["web", "worker"]}, GROUPS)
    assert f"set worker {{\ntype ipv4_addr\nelements = {{ {WEB}, {WORKER} }}\n}}" in text
    assert f"set database {{\ntype ipv4_addr\nelements = {{ {DATABASE} }}\n}}" in text


def test_a_group_without_members_is_an_empty_set() -> None:
    assert "set worker {\ntype ipv4_addr\n}" in ruleset({DATABASE: ["database"]}, GROUPS)


def test_the_rules_of_all_groups_of_a_member_count() -> None:
    groups = GROUPS | {"instance": Group(outgoing=(Permission("tcp", 443, 443, ("0.0.0.0/0",)),))}
    text = ruleset({WORKER: ["worker", "instance"]}, groups)
    out = jumps(text, "leaving")[str(WORKER)].removeprefix("jump ")
    assert chains(text)[out] == [
        "tcp dport 443 return",
        "ip daddr @database tcp dport 5432 return",
        "counter drop",
    ]


@pytest.mark.parametrize(
    ("permission", "expected"),
    [
        (Permission(networks=("0.0.0.0/0",)), "return"),
        (Permission(networks=("10.0.0.0/8",)), "ip saddr 10.0.0.0/8 return"),
        (Permission("tcp", 80, 90, ("0.0.0.0/0",)), "tcp dport 80-90 return"),
        (Permission("udp", 0, 65535, ("0.0.0.0/0",)), "meta l4proto udp return"),
        (Permission("tcp", networks=("0.0.0.0/0",)), "meta l4proto tcp return"),
        (Permission("icmp", 8, -1, ("0.0.0.0/0",)), "icmp type 8 return"),
        (Permission("icmp", 3, 4, ("0.0.0.0/0",)), "icmp type 3 icmp code 4 return"),
        (Permission("icmp", networks=("0.0.0.0/0",)), "meta l4proto icmp return"),
        (Permission("50", networks=("0.0.0.0/0",)), "meta l4proto 50 return"),
    ],
)
def test_a_permission_is_one_rule(permission: Permission, expected: str) -> None:
    found = chains(ruleset({WEB: ["web"]}, {"web": Group(incoming=(permission,))}))
    assert found["to-1"] == [expected, "counter drop"]


def test_a_permission_for_nobody_is_no_rule() -> None:
    groups = {"web": Group(incoming=(Permission("tcp", 443, 443),))}
    assert chains(ruleset({WEB: ["web"]}, groups))["to-1"] == ["counter drop"]


def test_what_is_tracked_passes_before_any_rule() -> None:
    assert chains(ruleset({}, {}))["forward"][1] == "ct state established,related accept"


def test_services_of_the_own_host_are_not_filtered() -> None:
    found = chains(ruleset(MEMBERS, GROUPS))["forward"]
    unfiltered = next(line for line in found if "169.254.0.0/16" in line)
    assert found.index(unfiltered) < found.index("ip saddr vmap @leaving")


def test_the_table_is_replaced_in_one_transaction() -> None:
    first, second, third = ruleset({}, {}).splitlines()[:3]
    assert (first, second) == ("table ip airkiln_groups", "delete table ip airkiln_groups")
    assert third == "table ip airkiln_groups {"
