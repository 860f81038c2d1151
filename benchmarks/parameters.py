"""How long it takes to load 10, 100 and 1000 parameters: `python -m benchmarks.parameters`.

The measurement covers a whole process, from its start to its end with the environment file written, as a
unit's ExecStart waits for it. Parameter Store is a server of the tests on 127.0.0.1, which answers after a
fixed time. The peer is the loop of `aws ssm get-parameters-by-path` and of most start-up scripts: boto3's
paginator, one folder after the other, without checks and without an atomic write. Both run alternately
against the same server.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from airkiln import roles
from airkiln.systemd import envfile
from benchmarks import results
from benchmarks.results import Figure
from tests.unit.airkiln.parameters.fake_ssm import FakeSsm
from tests.unit.airkiln.parameters.test_rules import GOOD
from tests.unit.airkiln.systemd.environment_values import PRINTABLE_ASCII

COUNTS = (10, 100, 1000)
ROUND_TRIP = 0.010
"""Seconds until Parameter Store answers. An assumption on a request within a region, stated with the
figures."""

AIRKILN = "airkiln parameters load"
PEER = "boto3 paginator, a folder after the other"

_PEER_PROGRAM = """
import sys, boto3
client = boto3.client("ssm", region_name="eu-west-1")
with open(sys.argv[1], "w") as file:
    for folder in sys.argv[2:]:
        pages = client.get_paginator("get_parameters_by_path").paginate(Path=folder, WithDecryption=True)
        for page in pages:
            for parameter in page["Parameters"]:
                file.write(parameter["Name"].rsplit("/", 1)[1] + "=" + parameter["Value"] + "\\n")
"""


def measure(runs: int) -> list[Figure]:
    """All figures, `runs` processes of each kind for each count."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "airflow.env"
        peer_output = Path(folder) / "peer.env"
        commands = {
            AIRKILN: _airkiln(output),
            PEER: [
                sys.executable,
                "-c",
                _PEER_PROGRAM,
                str(peer_output),
                "/airkiln/bench/common",
                "/airkiln/bench/webserver",
            ],
        }
        for count in COUNTS:
            wanted = _values(count)
            with FakeSsm(_paths(wanted), round_trip=ROUND_TRIP) as store:
                samples = _in_turn(commands, runs, store.url)
            if envfile.read(output) != wanted or len(peer_output.read_text().splitlines()) != count:
                raise SystemExit(f"{count} parameters: what was written is not what was stored")
            figures += [
                results.summarise(f"load_{count}", subject, taken) for subject, taken in samples.items()
            ]
    return figures


def _airkiln(output: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "airkiln", "parameters", "load", "--environment", "bench"),
        *("--role", "webserver", "--region", "eu-west-1", "--output", str(output)),
    ]


def _values(count: int) -> dict[str, str]:
    """As many good parameters: what a web server needs, and others of every printable character."""
    needed = {name: GOOD[name] for name in roles.ROLES["webserver"].required}
    return {**needed, **{f"V{n}": f"{n}{PRINTABLE_ASCII}" for n in range(count - len(needed))}}


def _paths(values: dict[str, str]) -> dict[str, str]:
    """Half of them common, half the role's own."""
    return {
        f"/airkiln/bench/{'common' if number % 2 == 0 else 'webserver'}/{name}": value
        for number, (name, value) in enumerate(values.items())
    }


def _in_turn(commands: dict[str, list[str]], runs: int, url: str) -> dict[str, list[float]]:
    """Seconds of each process. The first round warms the page cache and does not count."""
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL_SSM": url,
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
        "AWS_CONFIG_FILE": "/dev/null",
        "NO_PROXY": "127.0.0.1",
    }
    samples: dict[str, list[float]] = {subject: [] for subject in commands}
    for turn in range(runs + 1):
        for subject, command in commands.items():
            begun = time.perf_counter()
            subprocess.run(command, env=environment, check=True, stderr=subprocess.DEVNULL)
            if turn:
                samples[subject].append(time.perf_counter() - begun)
    return samples


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Parameter load time beside a plain boto3 loop.")
    parser.add_argument("--runs", type=int, default=15, help="processes of each kind (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="default: benchmarks/results/parameters.json")
    options = parser.parse_args()
    figures = measure(options.runs)
    path = results.record(
        "parameters",
        figures,
        options.output,
        conditions=f"Parameter Store on 127.0.0.1, every answer after {ROUND_TRIP * 1000:g} ms; two folders",
    )
    print(results.table(figures))
    print(f"written to {path}")


if __name__ == "__main__":
    main()
