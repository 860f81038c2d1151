"""What the tests of the autoscaler share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.airkiln.autoscale.stubs import Stubs


@pytest.fixture
def stubs() -> Iterator[Stubs]:
    """Every answer that a test prepares must have been asked for when it ends."""
    stubs = Stubs()
    yield stubs
    for stub in stubs.of.values():
        stub.assert_no_pending_responses()
