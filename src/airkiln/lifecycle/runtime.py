"""The runtime directory of the drain: the mark that keeps workers from starting, and the daemon's state."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from airkiln.host import files


@dataclass(frozen=True)
class RuntimeDirectory:
    """The runtime directory of airkiln-lifecycle.service. It outlives the daemon."""

    path: Path = Path("/run/airkiln-lifecycle")

    @property
    def draining(self) -> Path:
        """The mark: why this host drains. While it exists no worker starts (a condition of its unit)."""
        return self.path / "draining"

    @property
    def state(self) -> Path:
        """The daemon's state, for support."""
        return self.path / "state.json"

    def marked(self) -> str | None:
        """Why this host drains; None if it does not."""
        try:
            return self.draining.read_text(encoding="utf-8").strip() or "marked as draining"
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            return f"marked as draining ({error.strerror})"

    def mark(self, reason: str) -> None:
        """Mark this host as draining. Raises OSError."""
        self.path.mkdir(mode=0o755, parents=True, exist_ok=True)
        files.replace(self.draining, f"{reason}\n")
