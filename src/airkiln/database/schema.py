"""The version of the schema `airkiln` in the metadata database."""

from __future__ import annotations

from typing import Final

VERSION: Final = 2
"""The version that this release prepares, and the only one that its controllers work with."""
