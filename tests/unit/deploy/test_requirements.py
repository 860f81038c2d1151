"""A team's requirements are compared with the lock, and a conflict names the package and both versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from airkiln_deploy.requirements import problems

LOCKS = Path(__file__).parents[3] / "roles/airflow/files"
LOCK = """# made by a tool == not a pin
numpy==2.3.1 \\
    --hash=sha256:0123
typing-extensions==4.15.0 ; python_version < "4" \\
    --hash=sha256:4567
"""


@pytest.mark.parametrize(
    "line",
    [
        "acme-operators==1.4.2",
        "numpy",
        "numpy>=2",
        "NumPy==2.3.1",
        "typing_extensions>=4.15",
        "acme[extra]>=1,<2 ; python_version >= '3.11'",
    ],
)
def test_what_agrees_with_the_lock_is_taken(line: str) -> None:
    assert problems([line], LOCK) == []


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "numpy<2",
            "numpy<2 is asked for, and Airflow's lock holds numpy==2.3.1: allow 2.3.1, or leave numpy out.",
        ),
        ("typing.extensions==4.14.0", "lock holds typing.extensions==4.15.0"),
        (
            "numpy @ https://example.com/numpy.whl",
            "numpy is given by URL, and Airflow's lock holds numpy==2.3.1",
        ),
        ("--index-url=https://example.com", "is not a requirement"),
    ],
)
def test_what_contradicts_the_lock_is_named_with_both_versions(line: str, sentence: str) -> None:
    (found,) = problems([line], LOCK)
    assert sentence in found


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
def test_airflow_itself_is_found_in_the_real_locks(architecture: str) -> None:
    lock = (LOCKS / f"requirements-{architecture}.txt").read_text(encoding="utf-8")
    (found,) = problems(["apache-airflow==2.10.0"], lock)
    assert "Airflow's lock holds apache-airflow==3." in found
