"""The environment of commands that use the emulated AWS."""

from __future__ import annotations

from rehearsal.aws.session import environment
from rehearsal.region import Region


def test_ansible_takes_no_connection_of_another_rehearsal_for_its_own() -> None:
    usual, other = (environment(Region(name))["ANSIBLE_SSH_CONTROL_PATH"] for name in ("", "tests"))
    assert usual != other
    assert usual % {"directory": "/root/.ansible/cp"} == "/root/.ansible/cp/airkiln-%h"
