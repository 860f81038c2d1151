"""The last value that is accepted and the first that is refused, for each limit of the rules."""

from __future__ import annotations

import base64

import pytest

from airkiln import roles
from airkiln.parameters import names, rules, strength
from airkiln.parameters.rules import Parameter

SECRETS = [roles.JWT_KEY, roles.API_KEY]
PASSWORDS = [
    "AIRKILN_ADMIN_PASSWORD",
    "AIRKILN_ADMIN_WORKER_DATABASE_PASSWORD",
    "AIRKILN_LIFECYCLE_PASSWORD",
    "AIRKILN_CONTROLLER_DATABASE_PASSWORD",
]


def check(*values: tuple[str, str], settled: dict[str, str] | None = None) -> list[str]:
    return rules.check([Parameter(name, value, name) for name, value in values], None, settled or {})


def fernet(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode()


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_of_16_characters_is_accepted_and_one_of_15_is_not(name: str) -> None:
    assert check((name, "c2e8a7105f9b64d3")) == []
    (problem,) = check((name, "c2e8a7105f9b64d"))
    assert "shorter than 16 characters" in problem


@pytest.mark.parametrize("name", PASSWORDS)
def test_a_password_of_12_characters_is_accepted_and_one_of_11_is_not(name: str) -> None:
    assert check((name, "c2e8a7105f9b")) == []
    (problem,) = check((name, "c2e8a7105f9"))
    assert "shorter than 12 characters" in problem


@pytest.mark.parametrize(("size", "accepted"), [(31, False), (32, True), (33, False)])
def test_a_fernet_key_has_32_bytes(size: int, accepted: bool) -> None:
    problems = check((roles.FERNET_KEY, fernet(bytes(number * 7 % 256 for number in range(size)))))
    assert (problems == []) is accepted
    assert all("not a Fernet key" in problem for problem in problems)


@pytest.mark.parametrize(("different", "accepted"), [(1, False), (11, False), (12, True)])
def test_a_fernet_key_has_at_least_12_different_bytes(different: int, accepted: bool) -> None:
    # 37 has no common divisor with 11 or 12, and the second half counts backwards: no period and no row.
    order = [number * 37 for number in range(16)] + [-number * 41 for number in range(16)]
    problems = check((roles.FERNET_KEY, fernet(bytes(number % different * 9 for number in order))))
    assert (problems == []) is accepted
    assert all("made of words" in problem for problem in problems)


@pytest.mark.parametrize("size", [4096, 8191, 8192])
def test_a_value_of_up_to_8192_bytes_is_accepted(size: int) -> None:
    assert check(("A", "x" * size)) == []


def test_a_value_of_8193_bytes_is_refused() -> None:
    assert check(("A", "x" * 8193)) == [
        "A: the value is 8193 bytes long and the limit is 8192: shorten it",
    ]


def test_an_environment_of_1572864_bytes_is_accepted_and_one_byte_more_is_not() -> None:
    """Each variable takes its name, its value and two bytes: `=` and the NUL that ends it."""
    whole = [(f"V{number:03}", "x" * 8186) for number in range(192)]
    assert sum(len(name) + len(value) + 2 for name, value in whole) == 192 * 8192 == 1_572_864
    assert check(*whole) == []
    (problem,) = check(*whole[1:], ("V0000", "x" * 8186))
    assert "the environment is 1572865 bytes and no program starts with more than 1572864" in problem


def test_what_the_image_settles_counts_towards_the_environment_and_a_repeated_name_once() -> None:
    values = [(f"V{number:03}", "x" * 8186) for number in range(191)]
    settled = {"V191": "x" * 8186}
    assert check(*values, *values, settled=settled) == []
    assert len(check(*values, settled=settled | {"A": ""})) == 1


@pytest.mark.parametrize(
    "code", [0x1, 0x7F, 0xD7FF, 0xE000, 0xFDCF, 0xFDF0, 0xFFFD, 0x10000, 0x1FFFD, 0x20000, 0x10FFFD]
)
def test_a_character_beside_those_that_systemd_refuses_is_accepted(code: int) -> None:
    assert rules.unusable_reason(chr(code)) is None


@pytest.mark.parametrize(
    "code", [0xD800, 0xDFFF, 0xFDD0, 0xFDEF, 0xFFFE, 0xFFFF, 0x1FFFE, 0x1FFFF, 0x10FFFE, 0x10FFFF]
)
def test_the_first_and_last_character_of_each_range_that_systemd_refuses_is_refused(code: int) -> None:
    assert "not valid text" in (rules.unusable_reason(f"a{chr(code)}") or "")


@pytest.mark.parametrize("name", [*SECRETS, *PASSWORDS])
def test_every_known_example_is_refused_as_a_secret_in_any_case(name: str) -> None:
    written = [form for value in strength.WEAK_SECRETS for form in (value, value.upper(), f" {value} ")]
    assert [value for value in written if len(check((name, value))) != 1] == []


@pytest.mark.parametrize("key", sorted(strength.PUBLISHED_FERNET_KEYS))
def test_every_published_fernet_key_is_refused(key: str) -> None:
    (problem,) = check((roles.FERNET_KEY, key))
    assert "published example" in problem


@pytest.mark.parametrize("name", ["XAIRKILN_ADMIN_PASSWORD", "AIRFLOW_ADMIN_PASSWORD", "PASSWORD"])
def test_a_name_that_is_not_one_of_our_passwords_may_hold_anything(name: str) -> None:
    assert check((name, "admin")) == []


@pytest.mark.parametrize("name", sorted(names.LOADING_NAMES))
def test_every_name_that_changes_how_programs_load_is_refused_and_longer_ones_are_not(name: str) -> None:
    assert "the name is refused" in (names.bad_name_reason(name) or "")
    assert names.bad_name_reason(f"MY_{name}") is None


@pytest.mark.parametrize("prefix", sorted(names.LOADING_PREFIXES))
def test_every_prefix_that_changes_how_programs_load_is_refused(prefix: str) -> None:
    assert "the name is refused" in (names.bad_name_reason(f"{prefix}X") or "")
    assert names.bad_name_reason(f"MY_{prefix}X") is None


@pytest.mark.parametrize("name", sorted(names.ALLOWED_NAMES))
def test_an_allowed_name_is_accepted_and_one_that_begins_with_it_is_not(name: str) -> None:
    assert names.bad_name_reason(name) is None
    assert names.bad_name_reason(f"{name}X") is not None


@pytest.mark.parametrize(("name", "value"), [("A", "\ud800"), ("A\ud800", "x")])
def test_what_cannot_be_encoded_is_a_problem_like_any_other(name: str, value: str) -> None:
    assert len(check((name, value))) == 1


@pytest.mark.parametrize(
    ("role", "folders"), [("webserver", ".../common/ or .../webserver/"), ("all", ".../common/ or .../all/")]
)
def test_a_missing_parameter_names_the_common_folder_and_the_roles_last(role: str, folders: str) -> None:
    problems = rules.check([], roles.ROLES[role], {})
    assert problems[0].endswith(f"the role {role} needs it: store it under {folders}")


@pytest.mark.parametrize("variant", ["_CMD", "_SECRET"])
def test_a_variant_that_airflow_resolves_itself_stands_for_its_own_name_alone(variant: str) -> None:
    role = roles.ROLES["database"]
    in_force = {f"{roles.FERNET_KEY}{variant}": "x", "AIRFLOW__API_AUTH__JWT_PRIVATE_KEY_PATH": "/x"}
    assert [problem.split(":")[0] for problem in rules.missing(role, in_force)] == [roles.DATABASE]


@pytest.mark.parametrize("variant", ["_CMD", "_SECRET"])
@pytest.mark.parametrize("name", [roles.DATABASE, f"{roles.DATABASE}_ASYNC"])
def test_a_variant_that_our_own_programs_cannot_resolve_is_refused(name: str, variant: str) -> None:
    (problem,) = check((f"{name}{variant}", "x"))
    assert f"store the URL itself as {name}" in problem
    assert rules.missing(roles.ROLES["database"], {f"{name}{variant}": "x", roles.FERNET_KEY: "x"})


@pytest.mark.parametrize("value", ["", "postgresql://airflow:airflow@db/airflow"])
def test_what_is_neither_a_secret_nor_one_of_airflows_connections_may_be_weak(value: str) -> None:
    assert check(("MY_DATABASE_URL", value)) == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "would store passwords in plain text"),
        (" ", "would store passwords in plain text"),
        (f"{fernet(bytes(number * 7 for number in range(32)))},", "one of its keys is empty"),
        ("a25mq1fhtuh3mnfrsk5kmeiyvvu2ymn0vgryytvxy08=", "is a default"),
    ],
)
def test_a_weak_fernet_key_is_refused_for_what_it_is(value: str, words: str) -> None:
    (problem,) = check((roles.FERNET_KEY, value))
    assert words in problem
