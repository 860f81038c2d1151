"""`airkiln autoscale simulate`: settings, figures, table, files."""

from __future__ import annotations

import json
from array import array
from contextlib import nullcontext
from pathlib import Path
from typing import NoReturn
from xml.etree import ElementTree

import psycopg
import pytest

from airkiln import cli
from airkiln.database import controller
from airkiln.errors import OK, REFUSED, UNAVAILABLE, RefusedError
from airkiln.pools.model import Pool
from airkiln.simulation.chart import busiest
from airkiln.simulation.commands import table
from airkiln.simulation.outcomes import percentiles, turns
from airkiln.simulation.settings import Shape, read, read_all
from tests.unit.airkiln.simulation.test_queueing import BEGIN, history

POOLS = "[pools.default]\nslots = 4\nprice = 0.5\n"
HISTORY = "queue,queued_at,seconds\ndefault,1780876800,100\ndefault,1780876800,100\n"


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def simulate(folder: Path, *more: str, text: str = HISTORY, settings: str = POOLS) -> int:
    """The command with files of this text."""
    path = written(folder, "history.csv", text)
    shape = written(folder, "small.toml", settings)
    return cli.run(
        ["autoscale", "simulate", "--history", str(path), "--settings", str(shape), *more, "--peers"]
    )


def test_a_setting_is_a_pool_and_its_machines(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "two.toml",
        'name = "two pools"\n[pools.default]\nslots = 4\nmin = 1\nmax = 7\nboot = 30\nprice = 0.1\n'
        '[pools.batch]\nslots = 1\nqueues = ["slow"]\ncooldown = 900\n',
    )
    setting = read(path)
    assert setting.name == "two pools"
    assert setting.shapes == {
        "default": Shape(Pool("default", 4, ("default",)), 1, 7, 30, 0.1),
        "batch": Shape(Pool("batch", 1, ("slow",), cooldown=900)),
    }


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("[pools.a]\nslots = \n", ["no TOML: Invalid value (at line 2, column 9)"]),
        ("", ["pools: missing"]),
        ("pools = 3\n", ["pools: missing"]),
        ("[pools]\na = 3\n", ["pools.a: must be an object of settings"]),
        ("what = 1\n[pools.a]\nslots = 1\n", ["what: no such key"]),
        ("name = 3\n[pools.a]\nslots = 1\n", ["name: must be a text"]),
        (
            "[pools.a]\nmin = 3\nmax = 2\nboot = -1\nmine = 1\n",
            [
                "pools.a.boot: must be a number from 0 to 3600",
                "pools.a.mine: no such setting",
                "pools.a.slots: missing",
            ],
        ),
        ("[pools.a]\nslots = 1\nmin = 3\nmax = 2\n", ["pools.a.min: 3 is above max, which is 2"]),
        ("[pools.a]\nslots = 1\nmin = 11\n", ["pools.a.min: 11 is above max, which is 10"]),
        ("[pools.a]\nslots = 1\nmax = true\n", ["pools.a.max: must be a whole number from 1 to 1000"]),
        (
            '[pools.a]\nslots = 1\nqueues = ["q"]\n[pools.b]\nslots = 1\nqueues = ["q"]\n',
            ["pools.b.queues: q is a queue of a already"],
        ),
    ],
)
def test_what_is_wrong_with_settings_is_named(tmp_path: Path, text: str, problems: list[str]) -> None:
    path = written(tmp_path, "s.toml", text)
    with pytest.raises(RefusedError) as refused:
        read(path)
    found = refused.value.problems
    assert len(found) == len(problems)
    for given, wanted in zip(found, problems, strict=True):
        assert given.startswith(f"{path}: {wanted}")


def test_problems_of_all_files_are_told_and_names_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    good, twin = (written(folder, "s.toml", POOLS) for folder in (tmp_path, tmp_path / "other"))
    with pytest.raises(RefusedError) as refused:
        read_all([good, twin, tmp_path / "none.toml", written(tmp_path, "x.toml", "")])
    assert len(refused.value.problems) == 3


def test_the_command_prints_a_line_a_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both begin at 55 s; the worker is there from 10 s to 460 s: 0.125 hours of a history of 100 s."""
    assert simulate(tmp_path, "--peers") == OK
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].split() == [
        *("default", "small", "airkiln", "2", "55", "s", "55", "s", "55", "s"),
        *("0.1", "45.62", "48.0", "0", "0", "1"),
    ]


def test_json_and_files_have_the_same_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "out"
    assert simulate(tmp_path, "--json", "--output", str(folder)) == OK
    printed = capsys.readouterr().out
    assert printed == (folder / "simulation.json").read_text()
    (outcome,) = json.loads(printed)["outcomes"]
    assert (outcome["wait_p95"], outcome["worker_hours"], outcome["unserved"]) == (55, 0.12, 0)
    assert sorted(path.name for path in folder.iterdir()) == ["simulation.json", "simulation.svg"]
    first = (folder / "simulation.svg").read_bytes()
    assert simulate(tmp_path, "--output", str(folder)) == OK
    assert (folder / "simulation.svg").read_bytes() == first


def test_the_chart_has_a_row_a_policy_and_its_text_as_text(tmp_path: Path) -> None:
    path, one = written(tmp_path, "h.csv", HISTORY), written(tmp_path, "one & only.toml", POOLS)
    command = ["autoscale", "simulate", "--history", str(path), "--settings", str(one)]
    assert cli.run([*command, "--output", str(tmp_path)]) == OK
    root = ElementTree.parse(tmp_path / "simulation.svg").getroot()
    names = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    for policy in ("airkiln", *cli.PEERS):
        assert f"{policy} (one & only)" in names
    assert len(list(root.iter("{http://www.w3.org/2000/svg}polyline"))) == 4


def test_bad_input_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "out"
    for text, settings in ((HISTORY + "a,b,c\n", POOLS), (HISTORY, "[pools.a]\nslots = 0\n")):
        assert simulate(tmp_path, "--output", str(folder), text=text, settings=settings) == REFUSED
    told = capsys.readouterr().err
    assert "history.csv: line 4, column queued_at" in told
    assert "small.toml: pools.a.slots" in told
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate(tmp_path, "--output", str(tmp_path / "history.csv")) == 1
    assert "choose another --output" in capsys.readouterr().err


def test_queues_without_a_pool_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate(tmp_path, text=HISTORY + "other,1780876800,1\n") == OK
    assert "event=left-out setting=small queue=other tasks=1" in capsys.readouterr().err
    assert simulate(tmp_path, text=HISTORY.replace("default", "other")) == REFUSED
    assert "no pool takes a queue of the history (other)" in capsys.readouterr().err


def test_a_database_that_gives_up_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_arguments: object) -> NoReturn:
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://airflow:x@db.example/airflow")
    monkeypatch.setenv(controller.PASSWORD, "x")
    monkeypatch.setattr("airkiln.database.connect.connect", lambda _keywords: nullcontext())
    monkeypatch.setattr("airkiln.simulation.history.read_database", broken)
    shape = written(tmp_path, "small.toml", POOLS)
    assert cli.run(["autoscale", "simulate", "--database", "--settings", str(shape)]) == UNAVAILABLE
    assert "database airflow at db.example:5432: no answer to airkiln_controller" in capsys.readouterr().err


def test_since_is_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate(tmp_path, "--since", "soon") == REFUSED
    assert "--since: 'soon' is not a time" in capsys.readouterr().err
    assert simulate(tmp_path, "--since", "2026-06-08T00:00:01Z") == REFUSED
    assert simulate(tmp_path, "--since", "2026-06-08T00:00:00Z") == OK


def test_percentiles_count_those_that_did_not_wait() -> None:
    assert percentiles(array("d", [30.0, 10.0, 20.0]), 10, (50, 70, 80, 95, 100)) == [0, 0, 10, 30, 30]
    assert percentiles(array("d"), 5, (50, 100)) == [0, 0]
    assert percentiles(array("d"), 0, (50,)) == [0]


def test_turns_are_told_apart_by_their_direction() -> None:
    changes = [(0.0, 0), (10.0, 2), (20.0, 4), (100.0, 3), (200.0, 5), (600.0, 4), (1000.0, 5)]
    assert turns(changes, within=300) == (1, 1)
    assert turns(changes, within=80) == (0, 0)
    assert turns(changes, within=401) == (2, 2)


def test_the_grey_of_the_chart_is_what_runs_if_nobody_waits() -> None:
    tasks = history((0, 10), (5, 20), (25, 30), (70, 5))
    assert busiest(tasks, BEGIN, BEGIN + 100, 10) == [2, 2, 1, 1, 1, 1, 0, 1, 0, 0]


def test_an_empty_table_has_its_header() -> None:
    assert table([]).startswith("pool  setting  policy")
