"""One suite for the image, wherever it is: in Molecule, after a bake, on a booted instance.

    pytest tests/image --hosts=HOST --image-state=STATE

HOST is testinfra's: `rehearsal://INSTANCE` (a machine of the rehearsal, entered from the host), `ssh://admin@ADDRESS`
with `--sudo`; `--connection=chroot --hosts=/path` reads an image that does not run. STATE says how far the
image is:

- `baked`: the bake has ended; nothing was booted since. Nothing of the build may be left.
- `idle`: booted, with no role. Nothing of ours may run.
- `serving`: booted with a role.

Without `--hosts` nothing here is collected: there is no image to look at.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from testinfra.host import Host

from tests.image import backend

ROOT = Path(__file__).resolve().parents[2]
STATES = ("baked", "idle", "serving")

backend.register()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("image", "the image under test")
    group.addoption("--image-state", choices=STATES, default="baked", help="how far the image is")
    group.addoption(
        "--image-disposable",
        action="store_true",
        help="the machine is thrown away afterwards, so tests may change it",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """No host, no tests: the default would be the machine that the tests run on."""
    return True if collection_path.name.startswith("test_") and not config.getoption("--hosts") else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is about another state; it is not skipped, because it does not apply."""
    state = config.getoption("--image-state", default="baked")
    apart = [item for item in items if (mark := item.get_closest_marker("state")) and state not in mark.args]
    if apart:
        config.hook.pytest_deselected(items=apart)
        items[:] = [item for item in items if item not in apart]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "state(*names): the test is about an image in these states only")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """After a failure, show the journal of the units that are ours."""
    report = yield
    host: Host | None = getattr(item, "funcargs", {}).get("host")
    if call.when == "call" and report.failed and host is not None:
        command = "journalctl --no-pager --boot --lines=100 --unit='airkiln-*' --unit='airflow-*'"
        report.sections.append(("journal", host.run(command).stdout))
    return report


@pytest.fixture(scope="session")
def state(pytestconfig: pytest.Config) -> str:
    """How far the image is: baked, idle or serving."""
    found: str = pytestconfig.getoption("--image-state", default="baked")
    return found


@pytest.fixture
def running(host: Host) -> bool:
    """Whether systemd runs as the image's first process; in a chroot it does not."""
    return bool(host.run("test -d /run/systemd/system").rc == 0)


@pytest.fixture
def booted(running: bool) -> None:
    """For tests that need a running systemd."""
    if not running:
        pytest.skip("the image lies still: no systemd runs in it")


@pytest.fixture
def disposable(pytestconfig: pytest.Config, booted: None) -> None:
    """For tests that change the machine."""
    if not pytestconfig.getoption("--image-disposable", default=False):
        pytest.skip("the machine is kept (no --image-disposable), and the test would change it")


@cache
def role_defaults(role: str) -> dict[str, Any]:
    """The defaults of one role of this repository."""
    text = (ROOT / "roles" / role / "defaults/main.yml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))


def lines(host: Host, command: str) -> list[str]:
    """What a command prints, without empty lines; the command has to succeed."""
    return [line for line in host.check_output(command).splitlines() if line.strip()]
