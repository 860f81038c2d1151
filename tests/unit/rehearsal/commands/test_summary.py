"""What a run of the rehearsal ends with, and that each command in it is for this rehearsal."""

from __future__ import annotations

import io
import re

import pytest

from rehearsal.commands.summary import say_ways_in, table
from rehearsal.deployment.environment import Row
from rehearsal.deployment.seed import Login
from rehearsal.progress import Stages
from rehearsal.region import REPOSITORY, Region

TARGETS = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))


def ways_in(region: Region) -> str:
    out = io.StringIO()
    say_ways_in(
        region,
        Stages(1, out, live=False),
        ["Airflow   http://127.0.0.1:8081"],
        Login("admin", "secret"),
        "webserver",
    )
    return out.getvalue()


def test_the_table_has_a_heading_and_its_columns_are_aligned() -> None:
    rows = [
        Row("i-0", "webserver", "us-east-1a", "10.20.48.4", "InService, Healthy"),
        Row("airkiln-local", "database", "us-east-1b", "name", "available"),
    ]
    heading, first, second = table(rows)
    assert heading.split() == ["instance", "role", "zone", "address", "health"]
    assert first.index("us-east-1a") == second.index("us-east-1b") == heading.index("zone")
    assert first.endswith("InService, Healthy")


def test_the_ways_in_are_the_address_the_login_and_three_commands() -> None:
    named = [line.split("  ")[0] for line in ways_in(Region()).splitlines() if line]
    assert named == ["Airflow", "login", "shell", "logs", "status", "took"]
    assert "Airflow   http://127.0.0.1:8081\n" in ways_in(Region())
    assert "login     admin / secret\n" in ways_in(Region())


@pytest.mark.parametrize("name", ["", "two"])
def test_every_command_is_a_target_of_the_makefile_for_this_rehearsal(name: str) -> None:
    commands = re.findall("`(.+?)`|(?<=  )make .+", ways_in(Region(name)))
    assert len(commands) == 4
    for words in (command.split() for command in commands):
        assert words[0] == "make"
        assert words[1] in TARGETS
        assert (words[-1] == f"AIRKILN_REHEARSAL={name}") == bool(name)
