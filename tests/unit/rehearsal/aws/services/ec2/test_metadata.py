"""The metadata service's answers, without a network."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from rehearsal.aws.services.ec2.metadata import InstanceFacts, Tokens, answer

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def facts(**changes: object) -> InstanceFacts:
    known: dict[str, object] = {
        "instance_id": "i-0123456789abcdef0",
        "image_id": "ami-0123456789abcdef0",
        "instance_type": "t3.medium",
        "private_ip": "10.42.16.4",
        "private_dns": "ip-10-42-16-4.ec2.internal",
        "mac": "02:00:00:00:00:01",
        "region": "eu-central-1",
        "zone": "eu-central-1b",
        "launched": NOW,
    }
    return InstanceFacts(**(known | changes))  # type: ignore[arg-type]  # the test writes them by name


def told(path: str, **changes: object) -> str | bytes | None:
    return answer(facts(**changes), path, NOW)


def test_a_folder_lists_its_entries_and_marks_folders() -> None:
    listed = str(told("/latest/meta-data/")).splitlines()
    assert "instance-id" in listed
    assert "placement/" in listed


def test_a_dated_version_says_the_same_as_latest() -> None:
    assert told("/2021-03-23/meta-data/placement/availability-zone") == "eu-central-1b"


@pytest.mark.parametrize(
    "path", ["autoscaling/target-lifecycle-state", "spot/instance-action", "tags/instance"]
)
def test_what_an_instance_has_not_got_is_not_found(path: str) -> None:
    assert told(f"/latest/meta-data/{path}") is None


def test_a_tag_whose_key_has_a_colon_is_found_plain_and_escaped() -> None:
    tags = {"airkiln:role": "worker"}
    assert told("/latest/meta-data/tags/instance/airkiln:role", tags=tags) == "worker"
    assert told("/latest/meta-data/tags/instance/airkiln%3Arole", tags=tags) == "worker"


def test_nothing_lies_below_a_value() -> None:
    assert told("/latest/meta-data/instance-id/more") is None


def test_keys_are_listed_by_number_and_name() -> None:
    key = {"key_name": "mine", "public_key": "ssh-ed25519 AAAA"}
    assert told("/latest/meta-data/public-keys/", **key) == "0=mine"
    assert told("/latest/meta-data/public-keys/0/openssh-key", **key) == "ssh-ed25519 AAAA"


def test_user_data_comes_back_byte_for_byte_or_not_at_all() -> None:
    assert told("/latest/user-data", user_data=b"\x1f\x8b\x00") == b"\x1f\x8b\x00"
    assert told("/latest/user-data") is None


def test_credentials_of_a_role_expire() -> None:
    given = json.loads(str(told("/latest/meta-data/iam/security-credentials/reader", role="reader")))
    assert given["Expiration"] == "2026-11-21T18:00:00Z"


def test_the_identity_document_names_the_instance() -> None:
    document = json.loads(str(told("/latest/dynamic/instance-identity/document")))
    assert document["region"] == "eu-central-1"
    assert document["instanceId"] == "i-0123456789abcdef0"


class TestTokens:
    """A token is good for one address and for its time."""

    def test_it_is_good_for_its_address_only(self) -> None:
        tokens = Tokens(clock=lambda: 0.0)
        token = tokens.issue("10.42.16.4", 60)
        assert tokens.valid(token, "10.42.16.4")
        assert not tokens.valid(token, "10.42.16.5")

    def test_it_expires(self) -> None:
        now = [0.0]
        tokens = Tokens(clock=lambda: now[0])
        token = tokens.issue("10.42.16.4", 60)
        now[0] = 60.0
        assert not tokens.valid(token, "10.42.16.4")

    def test_none_is_no_token(self) -> None:
        assert not Tokens().valid(None, "")
