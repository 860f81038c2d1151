"""Names and folders of a rehearsal."""

from __future__ import annotations

import pytest

from rehearsal.errors import RehearsalError
from rehearsal.region import Region


def test_two_rehearsals_share_no_name_and_no_folder_but_the_cache() -> None:
    usual, other = Region(), Region("tests")
    assert usual.namespace == "airkiln"
    assert usual.namespace != other.namespace
    assert usual.home != other.home
    assert usual.cache == other.cache


def test_no_rehearsal_takes_the_machines_of_another_for_its_own() -> None:
    usual, other = Region(), Region("tests")
    assert not other.machine_namespace("i-0").startswith(usual.machine_namespace(""))
    assert not usual.machine_namespace("i-0").startswith(other.machine_namespace(""))


@pytest.mark.parametrize("name", ["../etc", "With Space", "a" * 13, "a-b"])
def test_a_name_that_could_leave_its_folder_is_refused(name: str) -> None:
    with pytest.raises(RehearsalError, match="AIRKILN_REHEARSAL"):
        Region(name)
