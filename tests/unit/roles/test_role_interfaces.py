"""Every role keeps its interface in one piece: defaults, argument specs and README say the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import role_docs

ROLES = sorted(path.parent.parent for path in (role_docs.ROLES).glob("*/tasks/main.yml"))
PHASE_LINES = 40


def load(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, empty where there is no file."""
    content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None
    return dict(content or {})


def tasks(path: Path) -> list[dict[str, Any]]:
    """The tasks in a YAML file."""
    return list(yaml.safe_load(path.read_text(encoding="utf-8")) or [])


def specs(role: Path) -> dict[str, Any]:
    described: dict[str, Any] = load(role / "meta/argument_specs.yml")["argument_specs"]
    return described


def role_name(role: Path) -> str:
    return role.name


every_role = pytest.mark.parametrize("role", ROLES, ids=role_name)


def test_the_house_has_the_roles_that_the_design_names() -> None:
    airflow = {
        f"airflow_{part}" for part in ("webserver", "scheduler", "dag_processor", "triggerer", "worker")
    }
    others = {"base", "airflow", "boot", "efs", "vendor_package", "cloudwatch", "ssm_agent", "image_cleanup"}
    assert airflow | others <= {role.name for role in ROLES}


@every_role
def test_the_argument_specs_and_the_defaults_hold_the_same_values(role: Path) -> None:
    options = specs(role)["main"].get("options", {})
    described = {name: option["default"] for name, option in options.items() if "default" in option}
    assert described == load(role / "defaults/main.yml")


@every_role
def test_a_variable_without_a_default_is_required(role: Path) -> None:
    silent = [
        name
        for entry in specs(role).values()
        for name, option in entry.get("options", {}).items()
        if "default" not in option and not option.get("required")
    ]
    assert silent == []


@every_role
def test_every_variable_is_described(role: Path) -> None:
    bare = [
        name
        for entry in specs(role).values()
        for name, option in entry.get("options", {}).items()
        if not option.get("description")
    ]
    assert bare == []


@every_role
def test_every_default_has_a_comment_above_it(role: Path) -> None:
    defaults = role / "defaults/main.yml"
    lines = defaults.read_text(encoding="utf-8").splitlines() if defaults.exists() else []
    bare = [
        line
        for above, line in zip(["", *lines], lines, strict=False)
        if line[:1].isalpha() and not above.startswith("#")
    ]
    assert bare == []


@every_role
def test_public_variables_begin_with_the_name_of_the_role(role: Path) -> None:
    public = {
        *load(role / "defaults/main.yml"),
        *(name for e in specs(role).values() for name in e.get("options", {})),
    }
    assert [name for name in public if not name.startswith(f"{role.name}_")] == []


@every_role
def test_private_variables_begin_with_two_underscores_and_the_name_of_the_role(role: Path) -> None:
    private = {*load(role / "vars/main.yml"), *registered_and_set(role)}
    assert [name for name in private if not name.startswith(f"__{role.name}_")] == []


@every_role
def test_the_tasks_are_a_table_of_contents(role: Path) -> None:
    text = (role / "tasks/main.yml").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= PHASE_LINES
    modules = {key for task in yaml.safe_load(text) for key in task if key.startswith("ansible.")}
    assert modules <= {
        "ansible.builtin.import_tasks",
        "ansible.builtin.include_role",
        "ansible.builtin.import_role",
    }


@every_role
def test_the_role_depends_on_airflow_alone_if_on_any_and_names_its_licence_and_platform(role: Path) -> None:
    meta = load(role / "meta/main.yml")
    assert meta["dependencies"] in ([], [{"role": "airflow"}])
    assert meta["galaxy_info"]["license"] == "Apache-2.0"
    assert meta["galaxy_info"]["platforms"] == [{"name": "Debian", "versions": ["trixie"]}]


@every_role
def test_templates_lie_where_their_target_lies(role: Path) -> None:
    templates = [path for path in (role / "templates").rglob("*") if path.is_file()]
    tops = {path.relative_to(role / "templates").parts[0] for path in templates}
    assert tops <= {"etc", "usr", "opt", "var"}


@every_role
def test_the_readme_is_the_one_that_the_argument_specs_make(role: Path) -> None:
    readme = role / "README.md"
    assert readme.exists(), "run: uv run --frozen python -m tools.role_docs"
    assert readme.read_text(encoding="utf-8") == role_docs.generated(role), (
        "run: uv run --frozen python -m tools.role_docs"
    )


def registered_and_set(role: Path) -> set[str]:
    """The names that the role's tasks register or set as facts."""
    names: set[str] = set()
    for path in [*(role / "tasks").glob("*.yml"), *(role / "handlers").glob("*.yml")]:
        for task in tasks(path):
            names |= _names(task)
    return names


def _names(task: dict[str, Any]) -> set[str]:
    names = {task["register"]} if "register" in task else set()
    names |= {name for name in task.get("ansible.builtin.set_fact", {}) if name != "cacheable"}
    for block in ("block", "rescue", "always"):
        for inner in task.get(block, []):
            names |= _names(inner)
    return names


VERBS = frozenset(
    """
    Add Apply Bake Build Check Configure Converge Copy Create Delete Deploy Destroy Disable Download
    Empty Enable Ensure Fail Find Gather Generate Import Include Install Launch Link Load Mark Mask
    Migrate Move Plan Prepare Read Record Reload Remove Reset Restart Run Select Show Start Stop
    Terminate Trigger Trust Turn Unpause Validate Verify Wait Write
    """.split()  # noqa: SIM905 - a list of words reads better
)
"""What a task's name may start with: verbs as Ansible's documentation uses them."""


@pytest.mark.parametrize("folder", ["roles", "playbooks", "molecule"])
def test_a_tasks_name_starts_with_a_verb_that_people_use(folder: str) -> None:
    paths = [path for path in (role_docs.ROOT / folder).rglob("*.yml") if "meta" not in path.parts]
    names = [name for path in paths for name in _task_names(yaml.safe_load(path.read_text(encoding="utf-8")))]
    assert names
    assert [name for name in names if name.split()[0] not in VERBS] == []


def _task_names(content: Any) -> list[str]:  # noqa: ANN401 - YAML
    """The names of plays, tasks and handlers in a list of them, blocks included."""
    if not isinstance(content, list):
        return []
    parts = ("pre_tasks", "tasks", "post_tasks", "block", "rescue", "always")
    found = []
    for one in content:
        if isinstance(one, dict):
            found += [str(one["name"])] if "name" in one else []
            found += [name for part in parts for name in _task_names(one.get(part))]
    return found


@every_role
def test_a_private_list_of_words_holds_only_words(role: Path) -> None:
    """Unquoted, `- --option=:all:` is a mapping."""
    lists = [value for value in load(role / "vars/main.yml").values() if isinstance(value, list)]
    assert [one for words in lists for one in words if isinstance(one, dict) and None in one.values()] == []
