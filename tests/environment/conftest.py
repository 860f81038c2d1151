"""One environment, deployed once by ``python -m rehearsal deploy``. AIRKILN_KEEP=1 leaves it running.

It is gone when the last test of this folder has ended: its rehearsal is that of other tests, too.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.environment.deployed import Deployed
from tests.support.regions import BAKED
from tests.support.rehearsed import rehearsed


@pytest.fixture(scope="package")
def deployed() -> Iterator[Deployed]:
    with rehearsed(Deployed(BAKED)) as made:
        yield made
