"""A package `airflow` whose command shows what it was given."""

from __future__ import annotations

from pathlib import Path


def make_airflow(folder: Path, main: str) -> None:
    """Write the package to the folder, with this source of `airflow.__main__`."""
    package = folder / "airflow"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(main, encoding="utf-8")
