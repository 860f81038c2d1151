"""Run the parts of `make test` in three lanes at once, and report each part's result and time.

    python3 tools/lanes.py

A lane is a list of steps that run one after another; a step is a target of the Makefile. Two lanes boot
machines, which is mostly waiting; the third computes. The output of a step goes to
`build/test/<step>.log` and is printed whole when the step has ended, so that the lanes do not mix. Once a
minute a line says how far each lane is. A step that fails does not stop the others. The exit status is 0 if
every step succeeded, 1 if one failed, 130 after Ctrl-C, which ends the lanes and what they started.

The times are written to `build/ci-times.txt`. This file uses the standard library only, because it also runs
the step that makes the virtual environment.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "build/test"
TIMES = ROOT / "build/ci-times.txt"
HEARTBEAT = 60.0
"""Seconds between two lines of progress."""
GRACE = 60.0
"""Seconds that an interrupted step has to remove its machines and networks; then it is killed."""


@dataclass(frozen=True)
class Step:
    """One target of the Makefile."""

    target: str
    after: tuple[str, ...] = ()
    """Steps of other lanes that must have ended before, whether or not they succeeded."""
    nice: int = 0
    """How much this step gives way to the other lanes when all want the processor."""


CLUSTER = (
    Step("setup"),
    Step("test-image", after=("check-packer",)),
)
"""The longest lane: a cluster from an image that it bakes. The others give way to it."""
MACHINES = (
    Step("check-packer"),
    Step("test-machines", after=("setup",), nice=8),
)
"""Boots machines too. Packer comes first: its build takes minutes where Go's cache is cold."""
STATIC = (
    Step("lint", after=("setup",), nice=12),
    Step("stacks-tools", nice=12),
    Step("test-static", nice=12),
)
"""Boots nothing. Its tests run on two processes, so that it takes whatever the other lanes leave."""
LANES: Mapping[str, Sequence[Step]] = {"cluster": CLUSTER, "machines": MACHINES, "static": STATIC}


def make(step: Step) -> list[str]:
    """The command line of a step."""
    return ["nice", f"-n{step.nice}", "make", "--no-print-directory", step.target]


@dataclass
class Result:
    """What became of a step."""

    target: str
    lane: str
    began: float
    """Seconds since the run began."""
    seconds: float
    status: int


@dataclass
class Run:
    """One run of all lanes."""

    lanes: Mapping[str, Sequence[Step]]
    command: Callable[[Step], list[str]] = make
    logs: Path = LOGS
    out: TextIO = field(default_factory=lambda: sys.stdout)
    results: list[Result] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self._ended = {step.target: threading.Event() for lane in self.lanes.values() for step in lane}
        self._running: dict[str, tuple[str, float, subprocess.Popen[bytes]]] = {}
        self._cancelled = threading.Event()
        self._lock = threading.Lock()

    def run(self, *, heartbeat: float = HEARTBEAT) -> int:
        """Run every lane to its end; returns the exit status of the command."""
        self.logs.mkdir(parents=True, exist_ok=True)
        threads = [
            threading.Thread(target=self._lane, args=(name, steps)) for name, steps in self.lanes.items()
        ]
        try:
            for thread in threads:
                thread.start()
            due = time.monotonic() + heartbeat
            while any(thread.is_alive() for thread in threads):
                for thread in threads:
                    thread.join(0.1)
                if time.monotonic() >= due:
                    self._say("".join(f"{line}\n" for line in self.progress()))
                    due += heartbeat
        except KeyboardInterrupt:
            self._say("\ntest: interrupted; ending the lanes\n")
            self._cancel()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
            return 130
        return int(any(result.status for result in self.results))

    def progress(self) -> list[str]:
        """A line for each step that runs: its lane, its name, its seconds and the last line of its log."""
        now = time.monotonic()
        return [
            f"[{now - self._began:5.0f} s] {lane}: {target} for {now - began:.0f} s: {self._end_of(target)}"
            for target, (lane, began, _) in sorted(self._running.items())
        ]

    def table(self) -> str:
        """The steps in the order in which they began, with their times in seconds."""
        lines = [f"{'lane':<10} {'step':<16} {'began':>7} {'seconds':>8}  result"]
        lines += [
            f"{each.lane:<10} {each.target:<16} {each.began:7.0f} {each.seconds:8.0f}  "
            + ("passed" if each.status == 0 else f"failed with status {each.status}")
            for each in sorted(self.results, key=lambda result: result.began)
        ]
        lines.append(f"{'':<10} {'all':<16} {0:7.0f} {time.monotonic() - self._began:8.0f}")
        return "\n".join(lines) + "\n"

    def log(self, target: str) -> Path:
        """Where the output of a step goes."""
        return self.logs / f"{target}.log"

    def _lane(self, lane: str, steps: Sequence[Step]) -> None:
        for step in steps:
            for other in step.after:
                self._ended[other].wait()
            if not self._cancelled.is_set():
                self._step(lane, step)
            self._ended[step.target].set()

    def _step(self, lane: str, step: Step) -> None:
        began = time.monotonic()
        self._say(f"[{began - self._began:5.0f} s] {lane}: {step.target} begins\n")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        with self.log(step.target).open("wb") as output, self._lock:
            if self._cancelled.is_set():
                return
            process = subprocess.Popen(
                self.command(step),
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            # Where the kernel shares the processor between sessions, only this number counts between them.
            with contextlib.suppress(OSError):
                Path(f"/proc/{process.pid}/autogroup").write_text(f"{step.nice}\n")
            self._running[step.target] = (lane, began, process)
        status = process.wait()
        seconds = time.monotonic() - began
        with self._lock:
            del self._running[step.target]
            self.results.append(Result(step.target, lane, began - self._began, seconds, status))
        if not self._cancelled.is_set():
            text = self.log(step.target).read_text(encoding="utf-8", errors="replace")
            ended = "passed" if status == 0 else f"failed with status {status}"
            title = f"{lane}: {step.target} {ended} after {seconds:.0f} s"
            self._say(f"{f' {title} ':=^110}\n{text.rstrip()}\n{'':=^110}\n")

    def _cancel(self) -> None:
        """Interrupt what runs, as Ctrl-C does, and kill what has not ended within `GRACE` seconds."""
        with self._lock:
            self._cancelled.set()
            running = [process for _, _, process in self._running.values()]
        for process in running:
            _send(process, signal.SIGINT)
        deadline = time.monotonic() + GRACE
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _send(process, signal.SIGKILL)

    def _end_of(self, target: str) -> str:
        lines = self.log(target).read_text(encoding="utf-8", errors="replace").splitlines()
        return lines[-1][-100:] if lines else ""

    def _say(self, text: str) -> None:
        with self._lock:
            self.out.write(text)
            self.out.flush()


def _send(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to a step and to everything in its process group."""
    if process.poll() is None:
        os.killpg(process.pid, number)


def main() -> int:
    """Run all lanes, print the table of times and write it to `build/ci-times.txt`."""
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell has started this in the background
        signal.signal(number, signal.default_int_handler)
    run = Run(LANES)
    status = run.run()
    table = run.table()
    sys.stdout.write(table)
    TIMES.write_text(table, encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
