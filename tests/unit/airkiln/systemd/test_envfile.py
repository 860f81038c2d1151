"""systemd's EnvironmentFile: what is written comes back, and what systemd reads is what airkiln reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airkiln.parameters import rules
from airkiln.systemd import envfile
from tests.unit.airkiln.systemd.environment_values import EVERY_UTF8_BYTE, VALUES

BY_HAND = r"""# comment \
A=1
B = two words  
C='single "x" $y \z'
D="dq \" \\ \$ \` \n"
; another
E=un\ quoted\
next \"x
F='a'"b"c
G="multi
line"
H=
I= 	
nothing here
J='a' b 'c'  
K=a'b'c"d"
L=trail\ 	
M="x" \ y
N='over two
lines'
O = =x
Q="a\
b"
R=a#b
S=\#x
 T=lead
U="x"# no comment
V="a"  "b"
W='a'\'b'
X=first
X=last"""  # noqa: W291 - the blanks at the ends of lines are what is tested
AS_SYSTEMD_257_READ_IT = {
    "A": "1",
    "B": "two words",
    "C": 'single "x" $y \\z',
    "D": 'dq " \\ $ ` \\n',
    "E": 'un quotednext "x',
    "F": "abc",
    "G": "multi\nline",
    "H": "",
    "I": "",
    "J": "ab 'c'",
    "K": "a'b'c\"d\"",
    "L": "trail ",
    "M": "x y",
    "N": "over two\nlines",
    "O": "=x",
    "Q": "ab",
    "R": "a#b",
    "S": "#x",
    "T": "lead",
    "U": "x# no comment",
    "V": "ab",
    "W": "a'b'",
    "X": "last",
}

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True)
values = st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("\\\"'`$#;=% \t")), max_size=60)
usable = values.filter(lambda value: rules.unusable_reason(value) is None)


@given(st.dictionaries(names, usable, max_size=8))
def test_whatever_is_written_is_read_back(environment: dict[str, str]) -> None:
    assert envfile.parse(envfile.render(environment)) == environment


@pytest.mark.parametrize("name", VALUES)
def test_every_awkward_value_is_read_back(name: str) -> None:
    assert rules.unusable_reason(VALUES[name]) is None
    assert envfile.parse(envfile.render({"X": VALUES[name], "Y": "next"})) == {"X": VALUES[name], "Y": "next"}


def test_the_utf8_sample_holds_every_byte_that_utf8_can() -> None:
    assert set(EVERY_UTF8_BYTE.encode()) == {*range(0x80, 0xC0), *range(0xC2, 0xF5)}


def test_a_file_written_by_hand_is_read_as_systemd_257_reads_it() -> None:
    assert envfile.parse(BY_HAND) == AS_SYSTEMD_257_READ_IT


@given(st.text(st.sampled_from("A=\"'\\$` \t\n\r#;b"), max_size=40))
def test_no_text_is_too_odd_to_be_read(text: str) -> None:
    assert all(isinstance(value, str) for value in envfile.parse(text).values())


def test_a_file_with_windows_line_ends_gives_values_without_them(tmp_path: Path) -> None:
    path = tmp_path / "x.env"
    path.write_bytes(b'A=1\r\nB="2"\r\n')
    assert envfile.read(path) == {"A": "1", "B": "2"}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("#A=1\n;B=2\nC=3", {"C": "3"}),
        ("#\\\nA=1", {"A": "1"}),
        ("# \\\\\nA=1", {"A": "1"}),
        ("#\nA=1", {"A": "1"}),
        ("=x\nA=1", {"A": "1"}),
        ("A=1\n\nB=2", {"A": "1", "B": "2"}),
        ("A\nB=2", {"B": "2"}),
        ("A", {}),
        ("A=", {"A": ""}),
        ('A=\\x"y"', {"A": 'x"y"'}),
        ("A=\\", {"A": ""}),
        ("A=x\\", {"A": "x"}),
        ("A=x\\\nB=2", {"A": "xB=2"}),
        ("A=x \\ ", {"A": "x  "}),
        ("A=x  y  ", {"A": "x  y"}),
        ('A="x', {"A": "x"}),
        ('A="x\\', {"A": "x"}),
        ('A="x\\y"', {"A": "x\\y"}),
        ("A='x\\'\nB=2", {"A": "x\\", "B": "2"}),
        ('A="x"\nB=2', {"A": "x", "B": "2"}),
        ('A="x"  \nB=2', {"A": "x", "B": "2"}),
    ],
)
def test_each_rule_of_the_grammar(text: str, values: dict[str, str]) -> None:
    assert envfile.parse(text) == values


def test_bytes_that_are_not_utf8_do_not_stop_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "x.env"
    path.write_bytes(b"A=\xff\nB=2\n")
    assert envfile.read(path) == {"A": "\udcff", "B": "2"}


def test_nothing_is_read_beyond_a_nul_byte() -> None:
    assert envfile.parse("A=1\nB=2\0\nC=3\0\nD=4\n") == {"A": "1", "B": "2"}


def test_equal_environments_give_equal_files() -> None:
    assert envfile.render({"A": "1", "B": "2"}) == envfile.render({"B": "2", "A": "1"})
