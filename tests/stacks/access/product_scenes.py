"""What our own code on an instance does with AWS, a scene a function; it runs wherever the tests run.

Each scene lets the product make its client by itself, as on an instance, and answers in the place of the
machine only (metadata, systemd).
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, cast
from unittest import mock

from airkiln.autoscale.amazon import Amazon
from airkiln.autoscale.apply import Applier, Failures
from airkiln.autoscale.figures import Figures, metrics
from airkiln.autoscale.model import Demand, Protect, Terminate, Unprotect
from airkiln.boot.early_journal import EarlyJournal
from airkiln.boot.stack_signal import Signal, Unit
from airkiln.failover import reporting
from airkiln.failover.backlog import Backlog
from airkiln.host.instance import Instance
from airkiln.host.layout import Layout
from airkiln.host.metadata import Imds
from airkiln.host.notices import AutoScaling
from airkiln.lifecycle.hook import Hook
from airkiln.lifecycle.model import HookCall, HookReply
from airkiln.parameters.ssm import SsmSource, create_client
from airkiln.roles import ROLES
from airkiln.systemd.journal import RateLimit
from tests.stacks.access.recorder import CREDENTIALS, ENVIRONMENT, REGION, make_bucket, recording
from tests.stacks.access.world import deployed

STACKS = {
    "webserver": f"airkiln-{ENVIRONMENT}-webserver/Group",
    "scheduler": f"airkiln-{ENVIRONMENT}-scheduler/Group",
    "worker": f"airkiln-{ENVIRONMENT}-worker-default/Group",
    "database": f"airkiln-{ENVIRONMENT}-database-step/Step",
}
"""Who waits for the signal of an instance of each role."""
INSTANCE = "i-0123456789abcdef0"


class Metadata:
    """An instance's metadata, as far as it is asked for."""

    def __init__(self, role: str) -> None:
        self._tags = {"airkiln:role": role, "airkiln:signal": STACKS[role]}

    def __enter__(self) -> Metadata:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def identity(self) -> Instance:
        return Instance(INSTANCE, REGION, self._tags["airkiln:role"], ENVIRONMENT)

    def tag(self, name: str) -> str | None:
        return self._tags.get(name)

    def get(self, path: str) -> str | None:
        return {"meta-data/instance-id": INSTANCE, "meta-data/placement/region": REGION}.get(path)


class Healthy:
    """A machine on which everything runs."""

    def wants(self, target: str) -> tuple[str, ...]:
        return (f"airflow-of-{target}",)

    def unit(self, name: str) -> Unit:
        return Unit(name, "active")

    def web_server_answers(self) -> bool:
        return True

    def last_lines(self, unit: str) -> list[str]:
        return []


def boot_reads_parameters(role: str) -> None:
    source = SsmSource(create_client(REGION))
    try:
        source.read(ENVIRONMENT, ROLES[role].folders)
    except Exception as error:  # the folders are empty, which is said after all of them were asked for
        if "no parameters there" not in str(error):
            raise


def signal_tells_the_stack(role: str) -> None:
    Signal(imds=lambda _: cast(Imds, Metadata(role)), system=Healthy()).send()


def support_bundle_is_kept(_role: str, size: int = 1) -> None:
    """The command of the document as it stands, but for the interpreter; the folder is packed before it."""
    content = deployed("operations")["SupportBundle"]["Properties"]["Content"]
    (command,) = [line for line in content["mainSteps"][0]["inputs"]["runCommand"] if "boto3" in line]
    command = command.replace("/opt/airkiln/bin/python", shlex.quote(sys.executable))
    with tempfile.TemporaryDirectory() as folder:
        Path(f"{folder}/it.tar.gz").write_bytes(b"x" * size)
        subprocess.run(
            [
                "sh",
                "-euc",
                command.replace("$(hostname)", "host").replace("$(date -u +%Y%m%dT%H%M%SZ)", "now"),
            ],
            env={"PATH": "/usr/bin:/bin", "folder": f"{folder}/it", **_environment()},
            check=True,
        )


def large_support_bundle_is_kept(role: str) -> None:
    """In parts."""
    support_bundle_is_kept(role, 9 * 1024 * 1024)


def leader_tells_its_figures_and_a_hopeless_host(_role: str) -> None:
    """One turn of the controller's thread, in a hurry."""
    here = Instance(INSTANCE, REGION, "scheduler", ENVIRONMENT)
    with (
        mock.patch.multiple(reporting, METRICS_EVERY=0.0, REPORT_EVERY=0.0),
        mock.patch.object(RateLimit, "say", _refuse_any),
    ):
        reporter = reporting.Reporter(lambda: here, lambda: Backlog(0.0, 0))
        reporter.figures = reporting.Figures(**{each.name: 1 for each in fields(reporting.Figures)})
        reporter.report_unhealthy("the scheduler was stuck twice")
        reporter.turn()


def leader_sizes_the_pools(_role: str) -> None:
    """Every call of the autoscaling; here nothing that fails is only told."""
    cloud = Amazon(REGION)
    applier = Applier(ENVIRONMENT, cloud, lambda: True)
    figures = Figures(ENVIRONMENT, cloud)
    with mock.patch.object(Failures, "report", _refuse):
        applier.observe(["default"])
        cloud.addresses([INSTANCE])
        actions = (Terminate((INSTANCE,)), Protect((INSTANCE,)), Unprotect((INSTANCE,)))
        applier.carry_out({"default": actions}, float("inf"))
        cloud.set_desired(applier.group("default"), 2)  # the recorder knows no group that could be looked at
        figures.usage(["default"])
        figures.offer(metrics(ENVIRONMENT, "default", Demand(1, {}), None, 1))
        figures.turn()


def _refuse(_failures: Failures, what: str, reason: str, detail: str = "") -> None:
    if what != "no-group":  # the recorder knows none
        raise RuntimeError(f"{what} {reason} {detail}")


def worker_ends_in_good_order(_role: str) -> None:
    """What a drain says to the hook of its group."""
    here, hook = Instance(INSTANCE, REGION, "worker", ENVIRONMENT, "default"), Hook()
    for call in HookCall:
        if hook.call(call, here) is not HookReply.DONE:
            raise RuntimeError(hook.failure)


def daemon_asks_for_its_lifecycle_state(_role: str) -> None:
    """Where metadata does not say it."""
    AutoScaling().target(Instance(INSTANCE, REGION))


class Started:
    """A machine whose agent reads the journal, which has one line."""

    def agent_reads(self) -> bool:
        return True

    def journal(self, _priority: str) -> list[str]:
        return ['{"__REALTIME_TIMESTAMP": "1700000000000000", "MESSAGE": "started"}']


def early_journal_is_sent(role: str) -> None:
    """What precedes the CloudWatch agent."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(RateLimit, "say", _refuse_any):
        layout = Layout(Path(folder))
        for path in (layout.cloudwatch_config, layout.early_journal_sent):
            path.parent.mkdir(parents=True)
        entry = {"log_group_name": f"/airkiln/{ENVIRONMENT}/journal"}
        collected = {"journald": {"collect_list": [entry]}}
        layout.cloudwatch_config.write_text(json.dumps({"logs": {"logs_collected": collected}}))
        EarlyJournal(layout, lambda _: cast(Imds, Metadata(role)), Started()).send()


def _refuse_any(_limit: RateLimit, kind: str, message: str) -> None:
    raise RuntimeError(f"{kind}: {message}")


Scene = Callable[[str], None]
ALL = ("webserver", "scheduler", "worker", "database")
SCENES: dict[Scene, tuple[str, ...]] = {
    boot_reads_parameters: ALL,
    signal_tells_the_stack: ALL,
    leader_tells_its_figures_and_a_hopeless_host: ("scheduler",),
    leader_sizes_the_pools: ("scheduler",),
    worker_ends_in_good_order: ("worker",),
    daemon_asks_for_its_lifecycle_state: ("scheduler", "worker"),
    early_journal_is_sent: ALL,
    support_bundle_is_kept: ("webserver", "scheduler", "worker", "database"),
    large_support_bundle_is_kept: ("webserver",),
}
"""Each scene, and the roles that play it."""

_variables: dict[str, str] = {}


def _environment() -> dict[str, str]:
    return {**CREDENTIALS, **_variables, "NO_PROXY": "127.0.0.1"}


@contextmanager
def _aws(endpoint: str) -> Iterator[None]:
    """The recorder in the place of AWS, for this process and those that it starts."""
    _variables["AWS_ENDPOINT_URL"] = endpoint
    with mock.patch.dict("os.environ", _environment()):
        yield


def record() -> dict[str, Any]:
    """The calls of each scene by each role, as they stand in recorded/airkiln.json."""
    scenes = []
    with recording() as (recorder, endpoint), _aws(endpoint):
        bucket = deployed("buckets")["LogBucket"]["Properties"]["BucketName"]
        make_bucket(endpoint, bucket)
        for scene, roles in SCENES.items():
            for role in roles:
                recorder.taken()
                scene(role)
                calls = [call.as_json() for call in recorder.taken()]
                if not calls:
                    raise RuntimeError(f"{scene.__name__}: no call was recorded")
                scenes.append({"scene": scene.__name__, "roles": [role], "calls": calls})
    return {"scenes": scenes}
