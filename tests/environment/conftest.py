"""One environment, deployed once by ``python -m rehearsal deploy``. AIRKILN_KEEP=1 leaves it running."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.environment.deployed import Deployed
from tests.support.regions import STACKS
from tests.support.rehearsed import rehearsed


@pytest.fixture(scope="session")
def deployed() -> Iterator[Deployed]:
    with rehearsed(Deployed(STACKS)) as made:
        yield made
