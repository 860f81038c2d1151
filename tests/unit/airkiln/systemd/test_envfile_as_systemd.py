"""What airkiln writes and reads as an EnvironmentFile, asked of systemd's own parser.

The generator of environment.d reads its files with the parser of EnvironmentFile= (src/basic/env-file.c,
merge_env_file) and prints what it read. Afterwards it replaces `$NAME`, so that `$$` stands for `$` here, and
leaves out what is empty. EnvironmentFile= does neither.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airkiln.parameters import rules
from airkiln.systemd import envfile
from tests.unit.airkiln.systemd.environment_values import VALUES

GENERATOR = Path("/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator")
ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
CONTINUED_COMMENT = re.compile(r"^[ \t]*[#;].*\\$", re.MULTILINE)
"""Older releases than 254 continue such a comment, and the image's does not."""

pytestmark = pytest.mark.skipif(not GENERATOR.exists(), reason="no systemd on this machine")

names = st.from_regex(r"V[A-Za-z0-9_]{0,20}", fullmatch=True)
usable = st.text(
    st.one_of(st.characters(codec="utf-8"), st.sampled_from("\\\"'`$#;=% \t\v")), max_size=60
).filter(lambda value: rules.unusable_reason(value) is None)

PIECES = ["V=", "V1=", "V", "=", '"', "'", "\\", '\\"', "\\\n", "`", " ", "\t", "\n", "\r", "#", ";", "b"]
odd = (
    st.lists(st.sampled_from(PIECES), max_size=40)
    .map("".join)
    .filter(lambda text: not CONTINUED_COMMENT.search(text))
)


def as_systemd_reads(text: str) -> dict[str, str]:
    """The variables of a file whose names begin with V."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home, "environment.d")
        folder.mkdir()
        (folder / "50-test.conf").write_bytes(text.encode())
        done = subprocess.run([GENERATOR], env={"XDG_CONFIG_HOME": home}, capture_output=True, check=True)
    lines = done.stdout.decode().split("\n")
    return {
        name: plain(value)
        for name, equals, value in (line.partition("=") for line in lines)
        if equals and name.startswith("V")
    }


def plain(value: str) -> str:
    """A value that the generator has escaped for the shell where that was needed (shell_escape, escape.c)."""
    if not value.startswith('"'):
        return value
    return re.sub(
        r"\\(?:([0-7]{3})|x([0-9a-f]{2})|(.))",
        lambda found: (
            chr(int(found[1], 8))
            if found[1]
            else chr(int(found[2], 16))
            if found[2]
            else ESCAPES.get(found[3], found[3])
        ),
        value[1:-1],
    )


def rendered(values: Mapping[str, str]) -> str:
    return envfile.render({name: value.replace("$", "$$") for name, value in values.items()})


@settings(max_examples=30)
@given(st.dictionaries(names, usable.filter(bool), max_size=30))
def test_systemd_reads_every_value_that_is_written(values: dict[str, str]) -> None:
    assert as_systemd_reads(rendered(values)) == values


def test_systemd_reads_every_awkward_value_that_is_written() -> None:
    values = {f"V{name}": value for name, value in VALUES.items() if value}
    assert as_systemd_reads(rendered(values)) == values


@settings(max_examples=100)
@given(odd)
def test_any_file_is_read_as_systemd_reads_it(text: str) -> None:
    valid = re.compile(r"V[A-Za-z0-9_]*")
    ours = {name: value for name, value in envfile.parse(text).items() if value and valid.fullmatch(name)}
    assert ours == as_systemd_reads(text)
