"""Which names an environment may have."""

from __future__ import annotations

import pytest

from airkiln_deploy.plan import name_problem


@pytest.mark.parametrize("name", ["prod", "p2", "a23456789012345"])
def test_a_name_that_fits_is_no_problem(name: str) -> None:
    assert name_problem(name) == ""


@pytest.mark.parametrize("name", ["", "prod-eu", "p", "Prod", "1prod", "averyverylongname", "prod\n", 7])
def test_a_name_that_does_not_fit_is_named(name: object) -> None:
    assert name_problem(name).startswith(f"environment_name is {str(name)!r} and must be")


@pytest.mark.parametrize("name", ["all", "ungrouped"])
def test_a_group_of_ansibles_own_is_refused(name: str) -> None:
    assert name_problem(name).startswith(f"environment_name is {name!r}, which means something else")
