"""What the bake imports at its end, and what it says of what does not import."""

from __future__ import annotations

from pathlib import Path

import pytest

from airkiln_airflow.import_check import find_faults, provider_names

DESCRIPTION = {
    "connection-types": [{"hook-class-name": "airflow.providers.example.hooks.Hook", "connection-type": "x"}],
    "executors": ["airflow.providers.example.Executor"],
    "auth-managers": ["airflow.providers.example.Manager"],
    "logging": ["airflow.providers.example.log.Handler"],
    "bundles": [{"integration-name": "x", "python-modules": ["airflow.providers.example.bundles.x"]}],
    "description": "not a name",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with a module that works, and one whose dependency is gone."""
    folder = tmp_path / "shipped_example"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "good.py").write_text("class Hook: ...\n")
    (folder / "broken.py").write_text("import moved_elsewhere\n")
    (folder / "raising.py").write_text("raise RuntimeError('no such setting')\n")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def faults(*names: str) -> list[str]:
    return list(find_faults("3.3.2", "3.3.2", names))


def test_every_name_of_a_provider_is_taken_and_nothing_else() -> None:
    assert list(provider_names({"apache-airflow-providers-example-sub": DESCRIPTION})) == [
        "airflow.providers.example.sub",
        "airflow.providers.example.hooks.Hook",
        "airflow.providers.example.Executor",
        "airflow.providers.example.Manager",
        "airflow.providers.example.log.Handler",
        "airflow.providers.example.bundles.x",
    ]


@pytest.mark.usefixtures("package")
class TestNames:
    """Modules and classes, by their full names."""

    def test_a_module_and_a_class_that_import_are_no_fault(self) -> None:
        assert faults("shipped_example", "shipped_example.good", "shipped_example.good.Hook") == []

    def test_a_dependency_that_is_gone_is_named(self) -> None:
        (fault,) = faults("shipped_example.broken")
        assert fault.startswith("shipped_example.broken does not import: ModuleNotFoundError")
        assert "moved_elsewhere" in fault

    def test_a_class_in_a_broken_module_is_a_fault(self) -> None:
        (fault,) = faults("shipped_example.broken.Hook")
        assert "moved_elsewhere" in fault

    def test_a_module_that_raises_whatever_is_a_fault(self) -> None:
        assert faults("shipped_example.raising") == [
            "shipped_example.raising does not import: RuntimeError: no such setting"
        ]

    @pytest.mark.parametrize("name", ["shipped_example.good.Gone", "shipped_example.gone", "gone_altogether"])
    def test_a_name_that_is_not_there_is_a_fault(self, name: str) -> None:
        (fault,) = faults(name)
        assert fault.startswith(f"{name} does not import: ")

    def test_one_fault_does_not_hide_the_next_and_none_is_told_twice(self) -> None:
        told = faults("shipped_example.broken", "shipped_example.raising", "shipped_example.broken")
        assert [fault.split()[0] for fault in told] == ["shipped_example.broken", "shipped_example.raising"]


def test_another_release_than_the_image_claims_is_a_fault() -> None:
    (fault,) = find_faults("3.3.1", "3.3.2", [])
    assert "3.3.1" in fault
    assert "claims 3.3.2" in fault
