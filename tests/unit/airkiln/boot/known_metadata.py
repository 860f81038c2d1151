"""Instance metadata without a network, for the tests of what reads it at boot."""

from __future__ import annotations

from airkiln.host.metadata import Imds, NoImdsError


class Metadata(Imds):
    """Answers from a dictionary by path; with None, nothing listens."""

    def __init__(self, known: dict[str, str] | None) -> None:
        super().__init__()
        self._known = known

    def get(self, path: str) -> str | None:
        if self._known is None:
            raise NoImdsError("nothing listens")
        return self._known.get(path)
