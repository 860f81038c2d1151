"""The address plan of a rehearsal's network. It is the same in each, because each has its own namespace."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

NETWORK = IPv4Network("10.42.0.0/16")
RESERVED = IPv4Network("10.42.0.0/24")
"""Addresses of the rehearsal's own services; no instance gets one."""
GATEWAY = IPv4Address("10.42.0.1")
"""The bridge's own address: every machine's default route."""
ENDPOINT = IPv4Address("10.42.0.2")
"""Where the emulated APIs are served."""
ENDPOINT_PORT = 4566
POSTGRES = IPv4Address("10.42.0.10")
LOAD_BALANCER = IPv4Address("10.42.0.11")
"""The machine behind load balancers. Each of them has an address of its own there, in its subnet."""
METADATA = IPv4Address("169.254.169.254")
LINK_LOCAL = IPv4Network("169.254.0.0/16")
"""Where instances find the services of their own host, such as METADATA and RESOLVER."""
UPLINK = IPv4Network("10.41.0.0/24")
"""The network of slirp4netns; used inside the rehearsal's namespace only."""
DNS = IPv4Address("10.41.0.3")
"""slirp4netns answers DNS here with the resolver of the host."""
RESOLVER = IPv4Address("169.254.169.253")
"""Where a service may answer names that exist in the rehearsal only. Machines ask here first, then at DNS."""
MTU = 9001
"""Bytes, as in a VPC; the same on the bridge, on each machine and on the uplink, so nothing fragments."""
