"""The environment files: what is missing, and what may not be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from airkiln.errors import NotPermittedError, NotReadyError
from airkiln.host.environment import read_loaded, read_optional


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    first, second = tmp_path / "first.env", tmp_path / "second.env"
    first.write_text('A="1"\nB="1"\n')
    second.write_text('B="2"\n')
    return first, second


@pytest.mark.parametrize("read", [read_optional, read_loaded])
def test_a_later_file_overrides_an_earlier_one(two: tuple[Path, Path], read: object) -> None:
    assert callable(read)
    assert read(*two) == {"A": "1", "B": "2"}


def test_a_missing_file_has_no_variables_or_is_waited_for(two: tuple[Path, Path], tmp_path: Path) -> None:
    missing = tmp_path / "missing.env"
    assert read_optional(missing, two[1]) == {"B": "2"}
    with pytest.raises(NotReadyError, match=r"missing\.env is not there.*airkiln-boot"):
        read_loaded(two[0], missing)


@pytest.mark.parametrize("read", [read_optional, read_loaded])
def test_a_file_that_may_not_be_read_is_an_error_that_says_so(tmp_path: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(NotPermittedError, match="Is a directory"):
        read(tmp_path)
