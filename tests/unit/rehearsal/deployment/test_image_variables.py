"""What an image of the rehearsal is baked with, beside what every image has."""

from __future__ import annotations

import hashlib
from pathlib import Path
from unittest.mock import Mock

import pytest

from rehearsal.aws import authority
from rehearsal.deployment.bake import image_variables


def test_hosts_trust_the_rehearsals_authority_for_databases_and_for_load_balancers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authority, "FOLDER", tmp_path / "authority")
    monkeypatch.setattr("rehearsal.aws.stub_agents.build", lambda _: [])
    variables = image_variables(Mock())
    certificate = authority.certificate()
    assert variables["database_authority_sha256"] == hashlib.sha256(certificate.encode()).hexdigest()
    assert [Path(each).read_text() for each in variables["base_ca_certificates"]] == [certificate]  # type: ignore[attr-defined]
