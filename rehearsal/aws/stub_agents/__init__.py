"""Stubs of Amazon's agents, which are in no Debian archive and cannot be downloaded in a rehearsal.

A stub is a Debian package with the agent's package and unit name, whose version is `0~stub`. The CloudWatch
agent's stub refuses a configuration that the agent refuses (cloudwatch_agent.py); beyond that the units
sleep. With it the roles `ssm_agent` and `cloudwatch` run unchanged: they download a pinned URL, check its
checksum and install a .deb. `dpkg-deb` alone builds it, and the same content gives the same bytes.

Left out: everything that the agents send.
"""

from rehearsal.aws.stub_agents.build import StubAgent, build

__all__ = ["StubAgent", "build"]
