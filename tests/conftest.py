"""The order of the tests that boot machines: what uses an image comes after what bakes it."""

from __future__ import annotations

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests on a cluster last: they find the image that the main job has baked.

    This saves a bake and nothing else. Each of these tests bakes the image itself where there is none.
    """
    items.sort(key=lambda item: "cluster" in getattr(item, "fixturenames", ()))
