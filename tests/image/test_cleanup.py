"""Nothing of the build is left in the image."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from tests.image.conftest import lines, role_defaults

pytestmark = pytest.mark.state("baked")
REMOVED = role_defaults("image_cleanup")["image_cleanup_paths"]
EMPTIED = role_defaults("image_cleanup")["image_cleanup_empty_files"]
assert isinstance(REMOVED, list)
assert isinstance(EMPTIED, list)


@pytest.mark.parametrize("pattern", REMOVED)
def test_nothing_matches_what_the_cleanup_removes(host: Host, pattern: str) -> None:
    script = f'for path in {pattern}; do if [ -e "$path" ] || [ -L "$path" ]; then echo "$path"; fi; done'
    assert lines(host, script) == []


@pytest.mark.parametrize("path", EMPTIED)
def test_what_has_to_stay_is_empty(host: Host, path: str) -> None:
    assert host.file(path).exists
    assert host.file(path).size == 0


def test_no_private_key_lies_anywhere(host: Host) -> None:
    command = "grep --recursive --files-with-matches --binary-files=without-match --no-messages"
    found = host.run(f"{command} -e '-----BEGIN [A-Z ]*PRIVATE KEY-----' /etc /root /home /srv /var")
    assert found.stdout.splitlines() == []


def test_no_history_or_key_of_a_user_is_left(host: Host) -> None:
    command = (
        "find /root /home -xdev -type f ( -name '*history*' -o -name 'authorized_keys*' -o -name 'id_*' )"
    )
    assert lines(host, command.replace("(", r"\(").replace(")", r"\)")) == []


def test_no_environment_with_values_is_left(host: Host) -> None:
    assert not host.file("/etc/airkiln/parameters.env").exists
    assert not host.file("/run/airkiln/airflow.env").exists


def test_airflow_has_left_no_state(host: Host) -> None:
    assert lines(host, "find /var/lib/airflow /var/log/airflow -mindepth 1 -type f") == []


def test_cloud_init_is_there_for_the_next_boot(host: Host) -> None:
    enabled = "systemctl is-enabled cloud-init-local.service cloud-final.service"
    assert set(lines(host, enabled)) == {"enabled"}
    assert not host.file("/etc/cloud/cloud-init.disabled").exists
