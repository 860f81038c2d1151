"""What ``up`` decides before it does anything: what to reuse, which port to open, what to bake with."""

from __future__ import annotations

import io
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rehearsal import cli
from rehearsal import region as settings
from rehearsal.aws import authority
from rehearsal.commands import deploy, up
from rehearsal.deployment import bake, image
from rehearsal.deployment.image import INGREDIENTS, OF_DEPLOYMENTS, baked_image, ingredients_digest
from rehearsal.deployment.instances import sort_out
from rehearsal.errors import RehearsalError
from rehearsal.linux.network import Network
from rehearsal.progress import Stages
from rehearsal.region import Region


@pytest.fixture
def region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Region:
    monkeypatch.setattr(settings, "REPOSITORY", tmp_path)
    return Region("unit")


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def instance(
    number: int, role: str = "all", image: str = "ami-new", state: str = "running"
) -> dict[str, Any]:
    return {
        "InstanceId": f"i-{number}",
        "PrivateIpAddress": f"10.42.16.{number}",
        "ImageId": image,
        "State": {"Name": state},
        "tags": {"airkiln:role": role},
    }


class TestWhatIsKept:
    """One instance that has the role, the image and answers; every other goes."""

    def test_an_instance_that_serves_from_this_image(self) -> None:
        assert sort_out([instance(4)], "ami-new", lambda _: True) == (("i-4", "10.42.16.4"), [])

    @pytest.mark.parametrize(
        "other",
        [instance(4, image="ami-old"), instance(4, role="database"), instance(4, state="stopped")],
        ids=["another image", "another role", "stopped"],
    )
    def test_no_other(self, other: dict[str, Any]) -> None:
        assert sort_out([other], "ami-new", lambda _: True) == (None, ["i-4"])

    def test_none_that_does_not_answer(self) -> None:
        assert sort_out([instance(4)], "ami-new", lambda _: False) == (None, ["i-4"])

    def test_only_the_first_of_two(self) -> None:
        reused, others = sort_out([instance(4), instance(5)], "ami-new", lambda _: True)
        assert (reused, others) == (("i-4", "10.42.16.4"), ["i-5"])

    def test_one_that_cannot_be_kept_is_not_asked(self) -> None:
        asked: list[str] = []

        def serves(address: str) -> bool:
            asked.append(address)
            return True

        sort_out([instance(4, image="ami-old"), instance(5)], "ami-new", serves)
        assert asked == ["10.42.16.5"]


class TestThePort:
    """Said at once, and not after a bake."""

    def test_a_free_one_is_taken(self, region: Region) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        up.require_free_port(region, port)

    def test_a_busy_one_is_refused_with_what_to_do(self, region: Region, busy_port: int) -> None:
        with pytest.raises(RehearsalError) as refused:
            up.require_free_port(region, busy_port)
        assert f"127.0.0.1:{busy_port}" in str(refused.value)
        assert f"`make rehearse AIRKILN_PORT={busy_port + 1} AIRKILN_REHEARSAL=unit`" in str(refused.value)
        assert "\n" not in str(refused.value)

    def test_the_one_that_this_rehearsal_opened_before_is_its_own(
        self, region: Region, busy_port: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Network, "exists", lambda _: True)
        monkeypatch.setattr(Network, "forwards", lambda _: {str(busy_port): "10.42.16.4:8080"})
        up.require_free_port(region, busy_port)

    def test_it_is_8080_unless_the_option_or_the_variable_says_otherwise(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("AIRKILN_PORT", raising=False)
        assert cli.parser().parse_args(["up"]).port == 8080
        monkeypatch.setenv("AIRKILN_PORT", "8081")
        assert cli.parser().parse_args(["up"]).port == 8081
        assert cli.parser().parse_args(["up", "--port", "8082"]).port == 8082

    @pytest.mark.parametrize("text", ["80", "65536", "web", "-1", ""])
    def test_what_is_no_port_is_refused(self, text: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            cli.parser().parse_args(["up", "--port", text])
        assert "is not a port" in capsys.readouterr().err


def test_two_runs_at_once_are_refused(region: Region) -> None:
    def second() -> None:
        with up.only_one(region):
            pytest.fail("let in")

    with (
        up.only_one(region),
        pytest.raises(RehearsalError, match="`make rehearse-status AIRKILN_REHEARSAL=unit`"),
    ):
        second()
    with up.only_one(region):
        pass


def test_without_root_it_says_so_before_it_does_anything(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(RehearsalError, match="sudo"):
        up.up(region, 8080, Stages(7, io.StringIO(), live=False))
    assert not region.home.exists()


class TestWithoutPacker:
    """The playbook bakes by itself, and one line says so."""

    @pytest.fixture(autouse=True)
    def baked_before(self, region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
        class Ec2:
            def describe_images(self, **_: object) -> dict[str, object]:
                return {"Images": []}

        monkeypatch.setattr(image, "client", lambda _: Ec2())
        monkeypatch.setattr(image, "ingredients_digest", lambda: "digest")
        monkeypatch.setattr(bake, "bake", lambda *_: "ami-1")
        region.prepare()

    def test_packer_is_what_the_variable_names_if_it_can_be_run(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        program = tmp_path / "packer"
        monkeypatch.setenv("PACKER", str(program))
        assert bake.packer() is None
        program.touch(0o644)
        assert bake.packer() is None
        program.chmod(0o755)
        assert bake.packer() == program

    def test_it_is_said_in_one_line(
        self, region: Region, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PACKER", str(tmp_path / "nothing"))
        out = io.StringIO()
        assert baked_image(region, Stages(7, out, live=False)) == "ami-1"
        note, began, ended = out.getvalue().splitlines()
        assert "There is no Packer here" in note
        assert "playbooks/image.yml" in note
        assert began.startswith("[1/7] Image, by playbooks/image.yml")
        assert ended.startswith(began.removesuffix(" …"))

    def test_with_packer_nothing_is_said(
        self, region: Region, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "packer").touch(0o755)
        monkeypatch.setenv("PACKER", str(tmp_path / "packer"))
        out = io.StringIO()
        baked_image(region, Stages(7, out, live=False))
        assert out.getvalue().startswith("[1/7] Image, by packer build")


class TestTheDigest:
    """An image is baked again when something in it changed, and only then."""

    @pytest.fixture(autouse=True)
    def tree(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(image, "REPOSITORY", tmp_path)
        monkeypatch.setattr(authority, "FOLDER", tmp_path / "authority")
        for name in (
            "roles/base/tasks/main.yml",
            "src/airkiln/cli.py",
            "rehearsal/deployment/bake.py",
            "pyproject.toml",
        ):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text("one")
        return tmp_path

    def test_it_is_the_same_for_the_same_tree(self, tree: Path) -> None:
        before = ingredients_digest()
        (tree / "README.md").write_text("no ingredient")
        (tree / "src/airkiln/__pycache__").mkdir()
        (tree / "src/airkiln/__pycache__/boot.pyc").write_text("compiled")
        assert ingredients_digest() == before

    @pytest.mark.parametrize("name", ["roles/base/tasks/main.yml", "src/airkiln/cli.py", "pyproject.toml"])
    def test_a_changed_file_changes_it(self, tree: Path, name: str) -> None:
        before = ingredients_digest()
        (tree / name).write_text("two")
        assert ingredients_digest() != before

    @pytest.mark.parametrize("name", OF_DEPLOYMENTS)
    def test_what_only_deployments_use_does_not(self, tree: Path, name: str) -> None:
        before = ingredients_digest()
        path = tree / name if "." in name else tree / name / "one.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("one")
        assert ingredients_digest() == before

    def test_a_file_that_is_named_itself_does(self, tree: Path) -> None:
        named = tree / "src/airkiln_deploy/requirements.py"
        named.parent.mkdir(parents=True)
        named.write_text("one")
        before = ingredients_digest()
        named.write_text("two")
        assert ingredients_digest() != before

    def test_a_renamed_file_changes_it(self, tree: Path) -> None:
        before = ingredients_digest()
        (tree / "src/airkiln/cli.py").rename(tree / "src/airkiln/start.py")
        assert ingredients_digest() != before

    def test_another_authority_of_the_databases_changes_it(
        self, tree: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = ingredients_digest()
        monkeypatch.setattr(authority, "FOLDER", tree / "another")
        assert ingredients_digest() != before


def test_what_an_image_is_made_of_exists() -> None:
    names = [*INGREDIENTS, *OF_DEPLOYMENTS]
    assert [name for name in names if not (settings.REPOSITORY / name).exists()] == []


def test_the_roles_use_nothing_of_deployments_that_is_no_ingredient() -> None:
    used = {
        f"src/airkiln_deploy/{module}.py"
        for path in (settings.REPOSITORY / "roles").rglob("*.py")
        for module in re.findall(r"^from airkiln_deploy import (\w+)", path.read_text(), re.MULTILINE)
    }
    assert used
    assert used <= set(INGREDIENTS)


class TestAnInterruption:
    """No traceback, but how to go on with the same rehearsal."""

    @pytest.mark.parametrize(
        ("command", "again"),
        [
            (up.up, "`make rehearse SIZE=one AIRKILN_REHEARSAL=unit` continues from here; "),
            (deploy.deploy, "`make rehearse AIRKILN_REHEARSAL=unit` continues from here; "),
        ],
        ids=["up", "deploy"],
    )
    def test_of_a_run_says_how_to_continue_and_how_to_end_it(
        self,
        command: Callable[..., None],
        again: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        def stopped(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setenv("AIRKILN_REHEARSAL", "unit")
        monkeypatch.setattr(sys.modules[command.__module__], command.__name__, stopped)
        assert cli.main([command.__name__]) == 130
        ends = "`make rehearse-down AIRKILN_REHEARSAL=unit` removes what is left.\n"
        assert capsys.readouterr().err == f"\nrehearsal: interrupted. {again}{ends}"

    def test_of_another_command_says_how_to_end_the_rehearsal(self) -> None:
        said = cli.interrupted(Region(), "launch")
        assert said == "\nrehearsal: interrupted. `make rehearse-down` removes what is left.\n"
