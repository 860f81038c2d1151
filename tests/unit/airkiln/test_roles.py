"""The table of roles agrees with the design."""

from airkiln.roles import COMMON, ROLES


def test_there_are_exactly_the_designs_roles() -> None:
    assert set(ROLES) == {"webserver", "scheduler", "worker", "database", "all"}


def test_every_role_reads_the_common_folder_first_and_its_own_last() -> None:
    for role in ROLES.values():
        assert role.folders[0] == COMMON
        assert role.folders[-1] == role.name
        assert role.target == f"airkiln-{role.name}.target"


def test_one_host_for_all_reads_every_serving_roles_folder() -> None:
    assert ROLES["all"].folders == ("common", "webserver", "scheduler", "worker", "all")
