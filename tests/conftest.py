"""The order of the tests, and how long one may take that bakes an image."""

from __future__ import annotations

import itertools
import random

import pytest

WITH_IMAGE = 1800
"""Seconds for a test of an image. The first one bakes it, on a machine that may run other tests meanwhile."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shuffle", type=int, metavar="SEED", help="shuffle the modules, and the tests in each")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Shuffle if asked to. Put the tests on a cluster last: they find the image that the main job has baked.

    That saves a bake and nothing else. Each of these tests bakes the image itself where there is none.
    """
    if (seed := config.getoption("--shuffle")) is not None:
        chance = random.Random(seed)
        modules = [list(group) for _, group in itertools.groupby(items, key=lambda item: item.path)]
        chance.shuffle(modules)
        for module in modules:
            chance.shuffle(module)
        items[:] = itertools.chain.from_iterable(modules)
    for item in items:
        if item.get_closest_marker("image"):
            item.add_marker(pytest.mark.timeout(WITH_IMAGE))
    items.sort(key=lambda item: "cluster" in getattr(item, "fixturenames", ()))


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Name the seed, to repeat the order."""
    seed = config.getoption("--shuffle")
    return [] if seed is None else [f"shuffled: --shuffle {seed}"]
