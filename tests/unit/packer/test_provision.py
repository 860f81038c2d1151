"""provision.sh hands the playbook its arguments, and the private key to an agent only."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import ROOT

PLAYBOOK = """\
#!/bin/sh
cd_to=$(pwd -P)
cd "$RECORD"
printf '%s\\n' "$@" > arguments
env > environment
ssh-add -L > keys
cat > input
echo "$cd_to" > directory
exit "${STATUS:-0}"
"""
EXTRA_VARS = json.dumps({"airkiln_commit": "0123456", "airkiln_version": "1.2.3"})


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A private key such as EC2 hands out."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("no ssh-keygen: install openssh-client")
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
    return path


def provision(directory: Path, key: Path, *arguments: str, status: int = 0) -> int:
    """Run provision.sh with a playbook command that records how it was called into the directory."""
    command = directory / "ansible-playbook"
    command.write_text(PLAYBOOK)
    command.chmod(0o755)
    environment = os.environ | {
        "AIRKILN_HOST": "10.42.1.2",
        "AIRKILN_PORT": "22",
        "AIRKILN_USER": "admin",
        "AIRKILN_EXTRA_VARS": EXTRA_VARS,
        "RECORD": str(directory),
        "STATUS": str(status),
    }
    with key.open() as stdin:
        call = [str(ROOT / "packer/provision.sh"), str(command), *arguments]
        return subprocess.run(call, stdin=stdin, env=environment, check=False, timeout=60).returncode


def test_the_playbook_gets_the_host_the_facts_and_every_further_argument_unchanged(
    tmp_path: Path, key: Path
) -> None:
    assert provision(tmp_path, key, "-e", 'it\'s $HOME; a "b"') == 0
    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert arguments[0] == "playbooks/image.yml"
    assert arguments[arguments.index("--inventory") + 1] == "10.42.1.2:22,"
    assert arguments[arguments.index("--user") + 1] == "admin"
    assert arguments[arguments.index("--extra-vars") + 1] == EXTRA_VARS
    assert arguments[-2:] == ["-e", 'it\'s $HOME; a "b"']
    assert (tmp_path / "directory").read_text().strip() == str(ROOT.resolve())


def test_the_key_is_in_the_agent_and_nowhere_else(tmp_path: Path, key: Path) -> None:
    assert provision(tmp_path, key) == 0
    public = key.with_suffix(".pub").read_text().split()[1]
    assert public in (tmp_path / "keys").read_text()
    secret = key.read_text().splitlines()[1]
    for record in ("arguments", "environment", "input"):
        assert secret not in (tmp_path / record).read_text()


def test_a_failed_playbook_fails_the_bake(tmp_path: Path, key: Path) -> None:
    assert provision(tmp_path, key, status=2) == 2


def test_a_key_that_is_none_fails_before_the_playbook(tmp_path: Path) -> None:
    broken = tmp_path / "key"
    broken.write_text("not a key\n")
    assert provision(tmp_path, broken) != 0
    assert not (tmp_path / "arguments").exists()
