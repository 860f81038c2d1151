"""Each patch of moto is needed and works. When moto is right, a case fails: delete it with its patch."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session
import moto
import pytest
from moto import mock_aws
from moto.elasticache.models import elasticache_backends
from moto.rds.models import rds_backends

from rehearsal.aws.services.patches import PATCHES
from rehearsal.aws.services.patching import MOTO_VERSION, Patch, Patches, Substitutions
from tests.unit.rehearsal.aws.emulated_aws import drop_backends
from tests.unit.rehearsal.aws.services.patch_cases import (
    CASES,
    Clients,
)


@cache
def client(service: str) -> Any:  # noqa: ANN401 - botocore makes its clients' types at run time
    """Return a client that all cases use: making one takes longer than most of them."""
    return botocore.session.get_session().create_client(service, region_name="us-east-1")


@pytest.fixture(scope="module")
def moto_server() -> Iterator[None]:
    """moto in this process. Starting it takes longer than most cases."""
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("AWS_ENDPOINT_URL", raising=False)
        with mock_aws():
            yield


@pytest.fixture
def clients(moto_server: None) -> Clients:
    """Clients of services without any resources."""
    drop_backends()
    elasticache_backends.clear()
    rds_backends.clear()
    return client


def methods() -> dict[str, object]:
    return {patch.name: vars(patch.owner).get(patch.method) for patch in PATCHES.patches}


def test_the_patches_were_found_with_the_installed_moto() -> None:
    assert moto.__version__ == MOTO_VERSION


def test_each_patch_has_a_case() -> None:
    assert sorted(CASES) == sorted(patch.name for patch in PATCHES.patches)
    assert all(patch.problem and patch.upstream.startswith("moto/") for patch in PATCHES.patches)


@pytest.mark.parametrize("name", CASES)
def test_moto_alone_still_fails(name: str, clients: Clients) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 - moto fails in its own ways
        CASES[name](clients)


@pytest.mark.parametrize("name", CASES)
def test_with_the_patch_it_works(name: str, clients: Clients) -> None:
    (patch,) = (patch for patch in PATCHES.patches if patch.name == name)
    alone = Patches([patch])
    alone.install()
    try:
        CASES[name](clients)
    finally:
        alone.uninstall()


def test_patches_can_be_installed_twice_and_removed() -> None:
    before = methods()
    PATCHES.install()
    once = methods()
    PATCHES.install()
    assert methods() == once
    assert all(once[name] is not before[name] for name in before)
    PATCHES.uninstall()
    assert methods() == before
    PATCHES.uninstall()
    assert methods() == before


def test_a_patch_gets_the_original_again_after_it_was_removed() -> None:
    class Answer:
        def text(self) -> str:
            return "moto"

    patch = Patch(Answer, "text", lambda original: lambda self: original(self) + "+", "moto/x.py", "short")
    patches = Patches([patch])
    for _ in range(2):
        patches.install()
        assert Answer().text() == "moto+"
        patches.uninstall()
        assert Answer().text() == "moto"


def test_what_was_replaced_twice_comes_back_as_it_was_first() -> None:
    class Owner:
        name = "first"

    items = {"key": "first"}
    substitutions = Substitutions()
    for value in ("second", "third"):
        substitutions.attribute(Owner, "name", value)
        substitutions.attribute(Owner, "new", value)
        substitutions.item(items, "key", value)
    substitutions.restore()
    assert Owner.name == items["key"] == "first"
    assert not hasattr(Owner, "new")
