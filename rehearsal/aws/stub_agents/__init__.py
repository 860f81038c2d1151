"""Stand-ins for Amazon's agents, which are in no Debian archive and out of reach of a rehearsal.

A stand-in is a Debian package with the agent's package and unit name, whose version ends in `~standin` and
whose unit sleeps. With it the roles `ssm_agent` and `cloudwatch` run as they do for real: a pinned URL, a
checksum, a .deb. It is built when it is needed, by `dpkg-deb` alone, the same bytes for the same content.
"""

from rehearsal.aws.stub_agents.build import StandIn, build

__all__ = ["StandIn", "build"]
