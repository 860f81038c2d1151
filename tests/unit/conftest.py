"""Hypothesis in unit tests: the same examples in every run, or new ones on request.

HYPOTHESIS_PROFILE=chance draws new examples, as `make simulate-failover` does. Either way a failure prints
its seed. There is no deadline for an example: machines that run tests are busy with others.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True, database=None)
settings.register_profile("chance", derandomize=False, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
