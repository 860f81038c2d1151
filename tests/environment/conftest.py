"""One environment, deployed once by ``python -m rehearsal deploy``. AIRKILN_KEEP=1 leaves it running."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from rehearsal.aws import session
from tests.environment.deployed import Deployed
from tests.support.regions import STACKS


@pytest.fixture(scope="session")
def deployed() -> Iterator[Deployed]:
    keep = bool(os.environ.get("AIRKILN_KEEP"))
    made = Deployed(STACKS)
    if not keep:
        session.down(made.region)
    try:
        made.output = made.run()
        yield made
    finally:
        if not keep:
            session.down(made.region)
