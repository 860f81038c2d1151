"""The rehearsals of the tests, beside one that may be running: names, folders and namespaces differ."""

from __future__ import annotations

from rehearsal.region import Region

BARE = Region("tests")
"""Instances of the base image, PostgreSQL alone, and Molecule's scenarios."""
DOOMED = Region("doomed")
"""What a test interrupts, kills and removes."""
BAKED = Region("baked")
"""The main job, then the cluster of tests/failover; and the environment that playbooks/deploy.yml deploys,
never beside these. They share the image that the first of them bakes."""
DATABASE = Region("database")
"""PostgreSQL for the tests of what the product does in it."""
CHECKER = Region("checker")
"""PostgreSQL without the fence, for the checker to find out."""
