"""The fixes that are taken away: each can be, each has its tests, and what no test notices is named."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tools.mutation import reversals
from tools.mutation.reversals import ROOT, BrokenError, Reversal, copied, main, table, unnoticed

FIX = "def allowed(user):\n    return user == 'root'\n"
TESTS = """
import pathlib
source = {}
exec((pathlib.Path(__file__).parent / "code.py").read_text(), source)
def test_nobody_else_is_allowed():
    assert not source["allowed"]("guest")
def test_root_is_allowed():
    assert source["allowed"]("root")
"""


def reversal(*tests: str, old: str = "user == 'root'", file: str = "code.py") -> Reversal:
    return Reversal("everybody is allowed", file, old, "True", tests)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one fix and two tests, of which one holds it. The second file is not known to git."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # loading them all takes longer than the tests
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p pytest_timeout")
    (tmp_path / "code.py").write_text(FIX)
    (tmp_path / "test_code.py").write_text(TESTS)
    (tmp_path / ".gitignore").write_text("/build/\n/secret\n")
    (tmp_path / "secret").write_text("")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "code.py", ".gitignore"], cwd=tmp_path, check=True)
    return tmp_path


@pytest.mark.parametrize("each", table(), ids=lambda each: str(each.name))
def test_a_listed_fix_can_be_taken_away_and_its_tests_exist(each: Reversal) -> None:
    assert each.reversed((ROOT / each.file).read_text(encoding="utf-8"))
    assert each.new != each.old
    assert len({test.startswith(reversals.MACHINES) for test in each.tests}) == 1
    for test in each.tests:
        path, _, rest = test.partition("::")
        names = rest.partition("[")[0].split("::")
        text = (ROOT / path).read_text(encoding="utf-8")
        assert all(re.search(rf"\b(?:def|class) {name}\b", text) for name in names if name), test


def test_a_fix_is_named_by_what_happens_without_it_and_once() -> None:
    names = [each.name for each in table()]
    assert len(set(names)) == len(names)


def test_a_test_that_does_not_notice_is_named_and_one_that_does_is_not(repository: Path) -> None:
    held, other = "test_code.py::test_nobody_else_is_allowed", "test_code.py::test_root_is_allowed"
    with copied(repository) as tree:
        passed, failed = unnoticed(tree, [one := reversal(held, other)])
        assert passed == [(one, other)]
        assert [test for test, _ in failed] == [held]
        assert "assert not True" in failed[0][1]
        assert (tree / "code.py").read_text() == FIX


def test_the_copy_is_of_what_git_knows_or_would_add_and_is_removed(repository: Path) -> None:
    with copied(repository) as tree:
        assert sorted(path.name for path in tree.iterdir()) == [".gitignore", "code.py", "test_code.py"]
        with pytest.raises(KeyError), copied(repository):
            raise KeyError
    assert list((repository / "build").iterdir()) == []
    assert (repository / "code.py").read_text() == FIX


@pytest.mark.parametrize("old", ["user == 'admin'", "user"])
def test_a_fix_that_is_not_there_once_is_said_to_be_so(repository: Path, old: str) -> None:
    with copied(repository) as tree, pytest.raises(BrokenError, match=r"everybody is allowed: .* not once"):
        unnoticed(tree, [reversal("test_code.py", old=old)])


@pytest.mark.parametrize("test", ["test_code.py::test_gone", "test_fixture.py"])
def test_a_test_that_is_not_run_notices_nothing(repository: Path, test: str) -> None:
    fails = "import pytest\n@pytest.fixture\ndef tool(): assert 0\ndef test_it(tool): pass\n"
    (repository / "test_fixture.py").write_text(fails)
    with copied(repository) as tree, pytest.raises(BrokenError, match="pytest cannot run"):
        unnoticed(tree, [reversal(test)])


@pytest.mark.parametrize(("broken", "status"), [(False, 1), (True, 2)])
def test_the_exit_status_says_whether_all_is_noticed(
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    broken: bool,
    status: int,
) -> None:
    if broken:
        (repository / "code.py").write_text(FIX.replace("==", "!="))
    found = [reversal("test_code.py::test_root_is_allowed", old="user !=" if broken else "user == 'root'")]
    monkeypatch.setattr(reversals, "ROOT", repository)
    monkeypatch.setattr(reversals, "table", lambda: found)
    assert main(["everybody"]) == status
    said = capsys.readouterr()
    assert ("fails with its fix" in said.err) == broken
    assert ("NOT NOTICED (everybody is allowed)" in said.out) != broken
