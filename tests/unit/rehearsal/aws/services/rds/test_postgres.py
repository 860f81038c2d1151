"""Quoting of SQL."""

from __future__ import annotations

import pytest

from rehearsal.aws.services.rds.postgres import identifier, literal
from rehearsal.errors import RehearsalError


def test_sql_is_quoted() -> None:
    assert literal("it's") == "'it''s'"
    assert identifier('a"b') == '"a""b"'
    with pytest.raises(RehearsalError, match="NUL"):
        literal("a\0b")
    with pytest.raises(RehearsalError, match="cannot name"):
        identifier("")
