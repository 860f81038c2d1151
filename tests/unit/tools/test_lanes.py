"""`make test` runs its parts in lanes: what it prints, when it fails, and how it ends."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tools import lanes
from tools.lanes import LANES, Run, Step

ROOT = Path(lanes.__file__).resolve().parent.parent


def run_of(tmp_path: Path, scripts: dict[str, str], **of_lanes: Sequence[Step]) -> Run:
    """A run whose steps are shell scripts in a folder of the test's own."""
    return Run(
        of_lanes,
        command=lambda step: ["sh", "-ec", f"cd '{tmp_path}'\n{scripts[step.target]}"],
        logs=tmp_path / "logs",
        out=io.StringIO(),
    )


def printed(run: Run) -> str:
    assert isinstance(run.out, io.StringIO)
    return run.out.getvalue()


def test_lanes_run_at_once_and_the_steps_of_a_lane_one_after_another(tmp_path: Path) -> None:
    meets = "echo > {0}; until test -e {1}; do sleep 0.01; done"
    scripts = {"one": meets.format("a", "b"), "two": meets.format("b", "a"), "three": "test -e a -a -e b"}
    run = run_of(tmp_path, scripts, first=[Step("one"), Step("three")], second=[Step("two")])
    assert run.run() == 0
    ended = [each.target for each in run.results]
    assert ended.index("one") < ended.index("three")


def test_a_step_waits_for_one_of_the_other_lane(tmp_path: Path) -> None:
    scripts = {"needed": "sleep 0.2; echo > made", "needs": "test -e made"}
    run = run_of(tmp_path, scripts, first=[Step("needs", after=("needed",))], second=[Step("needed")])
    assert run.run() == 0


def test_a_failed_step_fails_the_run_after_all_others_have_run(tmp_path: Path) -> None:
    scripts = {"bad": "exit 3", "next": "echo > next", "other": "echo > other"}
    run = run_of(tmp_path, scripts, first=[Step("bad"), Step("next")], second=[Step("other")])
    assert run.run() == 1
    assert (tmp_path / "next").exists()
    assert (tmp_path / "other").exists()
    assert re.search(r"^first +bad .* failed with status 3$", run.table(), re.MULTILINE)


def test_the_output_of_a_step_is_printed_whole(tmp_path: Path) -> None:
    slowly = "for n in 1 2 3; do echo {0}; sleep 0.02; done; echo >&2 {0}"
    scripts = {"left": slowly.format("left"), "right": slowly.format("right")}
    run = run_of(tmp_path, scripts, first=[Step("left")], second=[Step("right")])
    assert run.run() == 0
    assert "left\nleft\nleft\nleft\n" in printed(run)
    assert "right\nright\nright\nright\n" in printed(run)


def test_a_line_of_progress_shows_how_far_a_step_is(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"long": "echo 71 percent; sleep 0.5"}, first=[Step("long")])
    assert run.run(heartbeat=0.1) == 0
    assert re.search(r"first: long for \d+ s: 71 percent\n", printed(run))


def test_the_table_has_every_step_with_its_seconds(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"one": "true", "two": "true"}, first=[Step("one")], second=[Step("two")])
    run.run()
    found = re.findall(r"^(\w+) +(\w+) +\d+ +\d+  passed$", run.table(), re.MULTILINE)
    assert sorted(found) == [("first", "one"), ("second", "two")]


PROGRAM = """
import sys
from pathlib import Path
from tools.lanes import Run, Step
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
steps = [Step("one"), Step("never")]
sys.exit(Run({{"lane": steps}}, command=lambda step: ["sh", "-c", {script!r}], logs=Path({logs!r})).run())
"""


@pytest.mark.parametrize("script", ["echo $$; exec sleep 100", "sh -c 'echo $$; exec sleep 100'; echo"])
def test_an_interrupt_ends_what_runs_and_begins_nothing(tmp_path: Path, script: str) -> None:
    log = tmp_path / "one.log"
    program = PROGRAM.format(script=script, logs=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE) as process:
        deadline = time.monotonic() + 20
        while not (log.exists() and log.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 130
    assert not Path(f"/proc/{log.read_text().split()[0]}").exists()
    assert not (tmp_path / "never.log").exists()


def test_a_step_gives_way_as_far_as_it_is_nice(tmp_path: Path) -> None:
    groups = Path("/proc/self/autogroup")
    scripts = {"meek": "nice; cat /proc/self/autogroup || true"}
    run = run_of(tmp_path, scripts, first=[Step("meek", nice=7)])
    run.command = lambda step: ["nice", f"-n{step.nice}", "sh", "-c", f"sleep 0.1; {scripts[step.target]}"]
    assert run.run() == 0
    said = (tmp_path / "logs/meek.log").read_text().split()
    assert said[0] == str(min(19, os.nice(0) + 7))
    assert not groups.exists() or said[-1] == "7"


def test_every_step_is_a_target_of_the_makefile() -> None:
    text = (ROOT / "Makefile").read_text() + (ROOT / "packer/tools.mk").read_text()
    targets = set(re.findall(r"^([a-z-]+):", text, re.MULTILINE))
    steps = [step for steps in LANES.values() for step in steps]
    assert {step.target for step in steps} <= targets
    assert {other for step in steps for other in step.after} <= {step.target for step in steps}


def test_every_test_is_run_by_exactly_one_step_or_by_the_target_besides_them() -> None:
    text = (ROOT / "Makefile").read_text()
    chosen = re.findall(
        r'^(test-[a-z]+):.*\n.* -m "?([a-z ]+?)"? (tests|[$]\(MACHINES\))$', text, re.MULTILINE
    )
    assert chosen == [
        ("test-machines", "root and not image", "$(MACHINES)"),
        ("test-image", "image", "$(MACHINES)"),
        ("test-static", "not root", "tests"),
    ]
    # These choose a test once if "image" implies "root", and if root's tests are in MACHINES.
    folders = re.search(r"^MACHINES := (.+)$", text, re.MULTILINE)
    assert folders
    besides = re.findall(r"^test-environment:.*\n.* pytest --durations 25 (\S+)$", text, re.MULTILINE)
    assert besides == ["tests/environment"]
    for path in (ROOT / "tests").rglob("test_*.py"):
        text = path.read_text()
        marks = set(re.findall(r"pytest\.mark\.(root|image)\b", text))
        if path.is_relative_to(ROOT / besides[0]):
            assert marks == {"root", "image"}, path  # so that no step of the lanes runs it
            continue
        if any(path.is_relative_to(ROOT / folder) for folder in folders[1].split()):
            baked = re.search(r"cluster: Cluster|bench: Bench|job: MainJob", text)
            assert marks == ({"root", "image"} if baked else {"root"}), path
        else:
            assert marks == set() or path == Path(__file__), path
