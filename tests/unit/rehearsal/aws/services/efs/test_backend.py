"""The emulated EFS: a file system has a folder, and machines of images that can mount NFS see it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from moto import mock_aws
from moto.efs.models import efs_backends

from rehearsal.aws.services.efs import install as efs
from rehearsal.aws.services.efs import mount_nfs
from rehearsal.aws.services.efs.backend import HELPER, attachments, folder
from rehearsal.region import Region
from tests.support.ports import free_port


@pytest.fixture
def region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Region:
    monkeypatch.setattr(Region, "home", property(lambda _: tmp_path))
    return Region("unit")


@pytest.fixture
def client(region: Region) -> Iterator[Any]:
    with mock_aws():
        efs_backends.clear()
        efs.install(region)
        yield botocore.session.get_session().create_client(
            "efs", region_name="eu-west-1", aws_access_key_id="unit", aws_secret_access_key="unit"
        )
    efs.uninstall()
    efs_backends.clear()


def test_a_file_system_is_a_folder_as_long_as_it_exists(client: Any, region: Region) -> None:  # noqa: ANN401
    made = client.create_file_system(CreationToken="shared")["FileSystemId"]
    found = folder(region) / made
    assert list(found.iterdir()) == []
    (found / "kept").write_text("written")
    client.delete_file_system(FileSystemId=made)
    assert not found.exists()


def test_nobody_but_root_enters_beside_the_mount(region: Region) -> None:
    assert folder(region).stat().st_mode & 0o777 == 0o700


def test_an_image_that_can_mount_sees_the_folders_and_the_program(region: Region, tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    (layer / "usr/sbin").mkdir(parents=True)
    (layer / HELPER.lstrip("/")).touch()
    found = attachments(region, [str(tmp_path / "above"), str(layer)])
    assert list(found.folders) == [str(folder(region))]
    assert found.files[HELPER].startswith("#!/usr/bin/python3")


def test_one_that_cannot_finds_nothing(region: Region, tmp_path: Path) -> None:
    found = attachments(region, [str(tmp_path)])
    assert (found.files, found.folders) == ({}, {})


def mounts(*options: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, mount_nfs.__file__, "127.0.0.1:/", str(cwd), "-s", "-o", ",".join(options)]
    return subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ})


def test_a_tunnel_that_accepts_nothing_mounts_nothing(tmp_path: Path) -> None:
    refused = mounts("rw", "nfsvers=4.1", f"port={free_port()}", cwd=tmp_path)
    assert refused.returncode == 32
    assert refused.stderr == f"mount.nfs4: Connection refused for 127.0.0.1:/ on {tmp_path}\n"
