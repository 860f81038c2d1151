"""Tags that would prevent launches are refused before anything is created."""

from __future__ import annotations

from typing import Any

import pytest

from airkiln_deploy.tags import problems


@pytest.mark.parametrize("key", ["cost-center", "CostCenter", "team:data", "a", "x" * 128, "a+b=c,d.e@f"])
def test_a_key_that_metadata_can_hold_is_accepted(key: str) -> None:
    assert problems({key: "4711"}) == []


@pytest.mark.parametrize("key", ["Cost Center", "a/b", "ä", "", ".", "..", "_index", "x" * 129])
def test_a_key_that_breaks_launches_is_refused(key: str) -> None:
    (problem,) = problems({key: "4711", "good": "x"})
    assert "would prevent every launch" in problem


@pytest.mark.parametrize(
    ("key", "value"),
    [("aws:x", "y"), ("airkiln:role", "worker"), ("a", 4711), ("a", None), ("a", "x" * 257)],
)
def test_what_a_stack_cannot_have_is_refused(key: str, value: Any) -> None:  # noqa: ANN401
    assert len(problems({key: value})) == 1
