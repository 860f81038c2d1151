"""Stateful packet filters between machines: who may open a connection to whom, as nftables rules.

Every packet from one machine to another passes through the region's network namespace (``network``), in its
hook ``forward``. The rules stand there, outside the machines, so that root on a machine cannot change them.
``ruleset`` is a pure function from members and groups to the text of one table, and ``nft -f``
replaces the table in one transaction: no packet meets half of the rules.

- A member is an address with names of groups. A new connection passes if one of its source's groups permits
  it to leave and one of its destination's groups permits it to arrive. An address without groups is not a
  member, and nothing is filtered on its side.
- Answers pass without a rule, and so do later packets of a connection that passed, whatever has become of the
  rule that it passed by. Errors about a connection (ICMP) belong to it.
- Everything else is dropped without an answer, and counted.
- Not filtered: what the region's own namespace sends and receives (services on the bridge, commands in the
  region), ports that are forwarded from the host, link-local addresses, and the host's resolver.

Left out: IPv6, and whether a packet's source is its machine's own address.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from rehearsal.linux.addresses import DNS, LINK_LOCAL
from rehearsal.linux.network import UPLINK_DEVICE

TABLE = "airkiln_groups"
ALL = "-1"
"""Any protocol, and any type or code of ICMP."""
WITH_PORTS = ("tcp", "udp")
EVERY_PORT = (0, 65535)
ANYWHERE = "0.0.0.0/0"


@dataclass(frozen=True)
class Permission:
    """Traffic that a group permits. Its peers are in one of the networks, or members of the other group."""

    protocol: str = ALL
    """``tcp``, ``udp``, ``icmp``, the number of another protocol, or ALL."""
    first: int = -1
    """The first port; for ICMP the type, or -1 for all."""
    last: int = -1
    """The last port; for ICMP the code, or -1 for all."""
    networks: tuple[str, ...] = ()
    group: str | None = None


@dataclass(frozen=True)
class Group:
    """What the members of a group may do."""

    incoming: tuple[Permission, ...] = ()
    outgoing: tuple[Permission, ...] = ()


Members = Mapping[IPv4Address, Collection[str]]
"""The names of each address's groups."""


def ruleset(members: Members, groups: Mapping[str, Group]) -> str:
    """The text for ``nft -f`` that replaces the table.

    :param groups: all groups by name. A name without a group stands for one that permits nothing.
    """
    parties = sorted({_party(names) for names in members.values()})
    numbers = {party: number for number, party in enumerate(parties, 1)}
    rules = [
        line
        for party in parties
        for way in ("from", "to")
        for line in (
            f"chain {way}-{numbers[party]} {{ # {' '.join(party)}",
            *_permitted(way, [groups[name] for name in party if name in groups]),
            "counter drop",
            "}",
        )
    ]
    lines = [
        *_sets(members, rules),
        *rules,
        *_map("leaving", {address: f"jump from-{numbers[_party(members[address])]}" for address in members}),
        *_map("arriving", {address: f"jump to-{numbers[_party(members[address])]}" for address in members}),
        "chain forward {",
        "type filter hook forward priority filter; policy accept;",
        "ct state established,related accept",
        f'iifname "{UPLINK_DEVICE}" accept',
        f"ip daddr {{ {DNS}, {LINK_LOCAL} }} accept",
        "ip saddr vmap @leaving",
        "ip daddr vmap @arriving",
        "}",
    ]
    return "\n".join([f"table ip {TABLE}", f"delete table ip {TABLE}", f"table ip {TABLE} {{", *lines, "}\n"])


def _party(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def _permitted(way: str, groups: Sequence[Group]) -> list[str]:
    """The rules of a chain that permit something: they return to the chain that has jumped here."""
    incoming = way == "to"
    permissions = [each for group in groups for each in (group.incoming if incoming else group.outgoing)]
    side = "saddr" if incoming else "daddr"
    found = [f"{match} return".strip() for each in permissions for match in _matches(each, side)]
    return list(dict.fromkeys(found))


def _matches(permission: Permission, side: str) -> list[str]:
    """The conditions of the rules for a permission, one for each peer."""
    return [f"{peer} {_traffic(permission)}".strip() for peer in _peers(permission, side)]


def _peers(permission: Permission, side: str) -> list[str]:
    """The conditions that a packet's other side is a peer; none for anybody."""
    peers = ["" if network == ANYWHERE else f"ip {side} {network}" for network in permission.networks]
    return peers if permission.group is None else [*peers, f"ip {side} @{permission.group}"]


def _traffic(permission: Permission) -> str:
    """The condition that a packet has the permission's protocol and port."""
    protocol, first, last = permission.protocol, permission.first, permission.last
    if protocol == ALL:
        return ""
    if protocol in WITH_PORTS and (first, last) not in (EVERY_PORT, (-1, -1)):
        return f"{protocol} dport {first}" if first == last else f"{protocol} dport {first}-{last}"
    if protocol == "icmp" and first != -1:
        return f"icmp type {first}" + (f" icmp code {last}" if last != -1 else "")
    return f"meta l4proto {protocol}"


def _sets(members: Members, lines: Iterable[str]) -> list[str]:
    """The sets that rules name: the addresses of each group's members."""
    words = (word for line in lines for word in line.split())
    named = sorted({word.removeprefix("@") for word in words if word.startswith("@")})
    return [
        line
        for name in named
        for line in _elements(
            f"set {name}", "ipv4_addr", [str(each) for each in sorted(members) if name in members[each]]
        )
    ]


def _map(name: str, verdicts: Mapping[IPv4Address, str]) -> list[str]:
    elements = [f"{address} : {verdicts[address]}" for address in sorted(verdicts)]
    return _elements(f"map {name}", "ipv4_addr : verdict", elements)


def _elements(heading: str, kind: str, elements: Sequence[str]) -> list[str]:
    listed = [f"elements = {{ {', '.join(elements)} }}"] if elements else []
    return [f"{heading} {{", f"type {kind}", *listed, "}"]
