"""Which changes the mutation tool makes of a module, and what it says of those that no test notices."""

from __future__ import annotations

import ast
import sys
import time
import tomllib
from pathlib import Path

import pytest

from tools.mutation import __main__ as command
from tools.mutation import run
from tools.mutation.changes import changes, describe, sites
from tools.mutation.run import BrokenError, Change, Findings


def changed(source: str) -> list[str]:
    """The module after each change, one after another."""
    tree = ast.parse(source)
    found = []
    for site in list(sites(tree)):
        for node in changes(site):
            site.put(node)
            found.append(ast.unparse(tree))
            site.put(site.node)
    assert ast.unparse(tree) == ast.unparse(ast.parse(source)), "each change is taken back"
    return found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a < b", ["x = a <= b"]),
        ("x = a < b <= c", ["x = a <= b <= c", "x = a < b < c"]),
        ("x = a is None", ["x = a is not None"]),
        ("x = a in b", ["x = a not in b"]),
        ("x = a and b", ["x = a or b", "x = b", "x = a"]),
        ("x = not a", ["x = a"]),
        ("x = a + b", ["x = a - b"]),
        ("x = True", ["x = False"]),
        ("LIMIT = 16", ["LIMIT = 17", "LIMIT = 15"]),
        ("x = max(a)", ["x = min(a)"]),
        ("x = f(a, b=c)", ["x = f(a)"]),
        ("f(a)", ["pass"]),
        ("x += a", ["x -= a", "pass"]),
        ("x[a] = b", ["pass"]),
        ("raise a", ["pass"]),
        ("def f():\n    return a", ["def f():\n    return None"]),
        ("x = a if b else c", ["x = a if True else c", "x = a if False else c"]),
        ("x = [a for a in b if c]", ["x = [a for a in b if True]", "x = [a for a in b if False]"]),
        (
            "for a in b:\n    if c:\n        continue",
            [
                "for a in b:\n    if True:\n        continue",
                "for a in b:\n    if False:\n        continue",
                "for a in b:\n    if c:\n        break",
            ],
        ),
    ],
)
def test_an_expression_or_statement_is_changed(source: str, expected: list[str]) -> None:
    assert changed(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""Text."""',
        "x = 'text'",
        "x = f'{a + 1:>3}'",
        "import a",
        "from a import b",
        "x: 1 | 2 = a",
        "@f(a=b)\ndef g(x: int | None) -> int | None:\n    pass",
        "if TYPE_CHECKING:\n    x = 1",
        "def f():\n    return",
        "def f():\n    return None",
        "def f():\n    return ''",
        "x = a",
        "x, y = a",
    ],
)
def test_text_types_decorators_imports_and_names_are_not_changed(source: str) -> None:
    assert changed(source) == []


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("class A:\n    def f(self):\n        x = [a for a in y if a < 1]", "A.f"),
        ("LIMIT = a < 1", "LIMIT"),
        ("class A:\n    limit: bool = a < 1", "A.limit"),
        ("if a < 1:\n    pass", ""),
    ],
)
def test_a_change_is_named_by_the_function_or_the_constant_it_is_in(source: str, name: str) -> None:
    assert {site.function for site in sites(ast.parse(source)) if isinstance(site.node, ast.Compare)} == {
        name
    }


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("x = a.f(b, c=d, e=g)", ["a.f(...) without c", "a.f(...) without e"]),
        ("x = max(a)", ["max(a) -> min(a)"]),
        ("x = a < b", ["a < b -> a <= b"]),
        ("x = a + 1", ["a + 1 -> a - 1", "a + 1 -> a + 2", "a + 1 -> a + 0"]),
        ("x += 1", ["x += 1 -> x -= 1", "x += 1 -> pass", "x += 1 -> x += 2", "x += 1 -> x += 0"]),
        ("f(True)", ["f(True) -> pass", "f(True) -> f(False)"]),
        (f"x = [{'a' * 60}, 1]", ["1 -> 2", "1 -> 0"]),
    ],
)
def test_a_change_is_described_by_its_own_expression(source: str, words: list[str]) -> None:
    found = [describe(site, node) for site in sites(ast.parse(source)) for node in changes(site)]
    assert found == words


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module below `src` in a repository of its own."""
    monkeypatch.setattr(run, "ROOT", tmp_path)
    path = tmp_path / "src/mutation_sample.py"
    path.parent.mkdir()
    monkeypatch.syspath_prepend(path.parent)
    for name in (path.stem, "test_sample"):  # of the test before
        monkeypatch.delitem(sys.modules, name, raising=False)
    path.write_text("def more(a, b):\n    return a > b\n")
    return path


def sample_tests(module: Path, text: str) -> list[str]:
    path = module.parents[1] / "test_sample.py"
    path.write_text(f"from mutation_sample import more\ndef test_more():\n    assert {text}\n")
    return [str(path)]


def test_what_the_tests_do_not_notice_survives_and_the_file_stays(module: Path) -> None:
    before = module.read_text()
    tests = sample_tests(module, "more(2, 1) and not more(1, 2)")
    told: list[Change] = []
    findings = run.run(module, tests, time.monotonic() + 60, told.append)
    assert (findings.tried, findings.survivors) == (2, [Change("more", "a > b -> a >= b")])
    assert told == findings.survivors
    assert module.read_text() == before


def test_what_there_is_no_time_for_is_counted(module: Path) -> None:
    findings = run.run(module, sample_tests(module, "more(2, 1)"), time.monotonic())
    assert (findings.tried, findings.left_out) == (0, 2)


def test_tests_that_fail_with_no_change_are_named(module: Path) -> None:
    with pytest.raises(BrokenError, match=r"run `pytest .*test_sample\.py`"):
        run.run(module, sample_tests(module, "more(1, 2)"), time.monotonic() + 60)


def test_the_report_names_what_differs_from_the_list() -> None:
    one, two = Change("f", "a -> b"), Change("g", "c -> d")
    assert command.report("m", Findings(5, 0, [one]), {one}) == ["m: 5 changes, 1 survive, 0 not listed"]
    assert command.report("m", Findings(5, 0, [one]), {two}) == [
        "m: 5 changes, 1 survive, 1 not listed",
        "  listed and does not survive: g: c -> d",
    ]
    assert "3 changes not tried" in command.report("m", Findings(2, 3), {two})[-1]


def test_what_is_listed_has_a_reason_and_is_of_a_module_and_tests_that_exist() -> None:
    for each in tomllib.loads(command.SETTINGS.read_text())["module"]:
        for path in (each["path"], *each["tests"]):
            assert (run.ROOT / path).exists(), path
        for survivor in each.get("survivors", ()):
            assert survivor["reason"].endswith(".")
            assert survivor["changes"]


def test_a_change_that_never_ends_is_noticed(module: Path) -> None:
    module.write_text("def more(a, b):\n    while a < b:\n        a += 1\n    return a > b\n")
    tests = sample_tests(module, "more(2, 1) and not more(1, 2)")
    survivors = run.run(module, tests, time.monotonic() + 60).survivors
    assert Change("more", "a += 1 -> pass") not in survivors
    assert Change("more", "a += 1 -> a += 2") not in survivors
