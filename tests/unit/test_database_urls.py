"""Every URL of the metadata database that a playbook or the rehearsal writes gives no password in clear."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import yaml

from airkiln.parameters import rules
from rehearsal.deployment.parameters import Secrets, parameters

ROOT = Path(__file__).parents[2]
VARIABLES = ROOT / "playbooks/vars/airflow_parameters.yml"


def authority() -> str:
    """Where the image's role puts the certificates."""
    (download,) = [
        each["ansible.builtin.get_url"]
        for each in yaml.safe_load((ROOT / "roles/database_authority/tasks/install.yml").read_text())
        if "ansible.builtin.get_url" in each
    ]
    return str(download["dest"])


def test_the_playbooks_urls_have_the_options_and_a_driver_that_knows_them() -> None:
    text = VARIABLES.read_text()
    found = yaml.safe_load(text)
    assert found["__airkiln_database_options"].endswith("&require_auth=scram-sha-256")
    modes = found["__airkiln_database_modes"]
    assert parse_qs(modes[False])["sslmode"] == ["require"]
    assert parse_qs(modes[True]) == {"sslmode": ["verify-full"], "sslrootcert": [authority()]}
    defaults = yaml.safe_load((ROOT / "playbooks/group_vars/all.yml").read_text())
    assert defaults["airkiln_verify_database"] is True
    assert found["__airkiln_database"].endswith("/airflow?{{ __airkiln_database_options }}")
    assert "asyncpg://" not in text
    assert text.count("postgresql+psycopg://") == 6


def test_what_the_boot_names_is_where_the_role_puts_the_certificates() -> None:
    assert authority() == rules.AUTHORITY


def test_so_have_the_rehearsals() -> None:
    urls = [
        value
        for folder in parameters(Secrets(), "https://queue").values()
        for value in folder.values()
        if value.removeprefix("db+").startswith("postgresql")
    ]
    assert len(urls) >= 8
    for url in urls:
        parts = urlsplit(url.removeprefix("db+"))
        assert parts.scheme == "postgresql+psycopg"
        assert parse_qs(parts.query) == {
            "sslmode": ["verify-full"],
            "sslrootcert": [authority()],
            "require_auth": ["scram-sha-256"],
        }
