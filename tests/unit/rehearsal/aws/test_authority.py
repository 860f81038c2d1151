"""The authority that vouches for the rehearsal's databases and load balancers."""

from __future__ import annotations

import ipaddress
import stat
import subprocess
from pathlib import Path

import pytest

from rehearsal.aws import authority
from rehearsal.errors import RehearsalError

ADDRESS = ipaddress.IPv4Address("10.42.0.10")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = tmp_path / "authority"
    monkeypatch.setattr(authority, "FOLDER", found)
    return found


def openssl(*words: str, text: str = "") -> str:
    done = subprocess.run(["openssl", *words], input=text, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def request(tmp_path: Path) -> str:
    key = str(tmp_path / "server.key")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    return openssl("req", "-new", *curve, "-keyout", key, "-subj", "/CN=postgres")


def test_it_is_made_once_and_only_its_owner_reads_the_key(folder: Path) -> None:
    first = authority.certificate()
    assert authority.certificate() == first
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "key.pem").stat().st_mode) == 0o600
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_of_two_that_make_it_at_once_both_have_the_first(folder: Path) -> None:
    first = authority.certificate()
    authority._make()
    assert authority.certificate() == first
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_certificate_holds_for_the_address_alone(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(authority.certificate())
    (tmp_path / "own.pem").write_text(authority.issue(request(tmp_path), ADDRESS))
    verify = ("verify", "-CAfile", str(tmp_path / "ca.pem"))
    own = str(tmp_path / "own.pem")
    assert openssl(*verify, "-verify_ip", str(ADDRESS), own).endswith("OK\n")
    assert "IP address mismatch" in openssl(*verify, "-verify_ip", "10.42.0.11", own)


def test_a_certificate_for_a_name_holds_for_that_name_alone_however_long(tmp_path: Path) -> None:
    name = f"{'a' * 63}.abcdefghijkl.us-east-1.rds.amazonaws.com"
    (tmp_path / "ca.pem").write_text(authority.certificate())
    (tmp_path / "own.pem").write_text(authority.issue(request(tmp_path), name))
    verify = ("verify", "-CAfile", str(tmp_path / "ca.pem"))
    own = str(tmp_path / "own.pem")
    assert openssl(*verify, "-verify_hostname", name, own).endswith("OK\n")
    assert "hostname mismatch" in openssl(*verify, "-verify_hostname", f"b{name}", own)
    assert "IP address mismatch" in openssl(*verify, "-verify_ip", str(ADDRESS), own)


def test_what_it_issues_passes_the_strict_checks_of_python_3_13(tmp_path: Path) -> None:
    key, certificate = authority.key_and_certificate("airflow.example.internal", ADDRESS)
    (tmp_path / "ca.pem").write_text(authority.certificate())
    (tmp_path / "own.pem").write_text(certificate)
    verify = ("verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", str(tmp_path / "ca.pem"))
    own = str(tmp_path / "own.pem")
    for name in (("-verify_hostname", "airflow.example.internal"), ("-verify_ip", str(ADDRESS))):
        assert openssl(*verify, *name, own).endswith("OK\n")
    public = openssl("x509", "-in", own, "-noout", "-pubkey")
    assert openssl("pkey", "-pubout", text=key) == public


def test_another_users_folder_is_not_trusted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority.certificate()
    monkeypatch.setattr("os.geteuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(RehearsalError, match="belongs to another user"):
        authority.certificate()
