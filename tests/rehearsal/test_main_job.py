"""`make rehearse SIZE=one` once, from the command to the browser, and what then runs on its instance."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from airkiln.parameters.rules import ambiguous_reason
from airkiln.roles import ROLES
from rehearsal.aws.services.ec2.images import Catalogue
from rehearsal.commands.up import DAG, STAGES
from rehearsal.deployment.parameters import TASK_ROLE
from rehearsal.linux.machine import Machine
from rehearsal.linux.mounts import overlay_command, remove_tree
from rehearsal.region import REPOSITORY
from tests.rehearsal import every_parameter
from tests.rehearsal.browser import browser
from tests.rehearsal.main_job import MainJob, raw, show, suite
from tests.support.regions import BAKED
from tests.support.rehearsed import STAGE, rehearsed
from tests.support.waiting import PATIENCE, until
from tests.unit.airkiln.systemd.environment_values import VALUES

pytestmark = [pytest.mark.root, pytest.mark.image]

UNITS = ROLES["all"].units
PREFIX = "AIRFLOW__FAB__TEST_"
"""Only the web server reads [fab], so a parameter named so restarts it and nothing else."""
STORED = {
    f"{PREFIX}{name}": value
    for name, value in VALUES.items()
    if value and ambiguous_reason(f"{PREFIX}{name}", value) is None
}
"""SSM takes no empty value, and the boot none that Airflow expands."""
ENVIRONMENT_FILES = ["/etc/airkiln/airflow.env", "/run/airkiln/airflow-webserver.env"]
AS_A_UNIT = [
    *("systemd-run", "--quiet", "--pipe", "--wait", "--property=User=airflow"),
    *(f"--property=EnvironmentFile={path}" for path in ENVIRONMENT_FILES),
]
"""Runs a command as the web server's unit runs its own, which is in a user namespace, so that its environment
cannot be read from outside."""
WEB_SERVER = "airflow-webserver.service"
SCREENSHOTS = REPOSITORY / "build/screenshots"


@pytest.fixture(scope="module")
def job() -> Iterator[MainJob]:
    with rehearsed(MainJob(BAKED)) as made:
        yield made


class TestWhatItPrints:
    """Stages with the time each took, then the address and the login."""

    def test_every_stage_is_told_in_order_with_its_time(self, job: MainJob) -> None:
        told = STAGE.findall(job.output)
        assert [int(number) for number, *_ in told] == list(range(1, STAGES + 1))
        assert {int(total) for _, total, *_ in told} == {STAGES}
        assert all(name for _, _, name, _ in told)

    def test_it_ends_with_the_address_and_the_login(self, job: MainJob) -> None:
        assert job.url == f"http://127.0.0.1:{job.port}"
        username, password = job.login
        assert username == "admin"
        assert len(password) >= 16


class TestAirflow:
    """What serves at the printed address."""

    def test_every_component_is_healthy(self, job: MainJob) -> None:
        assert job.airflow.unhealthy() == []

    def test_the_login_is_good_and_another_is_not(self, job: MainJob) -> None:
        assert job.airflow.knows(DAG)
        stranger = type(job.airflow)(job.url, job.login[0], "another")
        with pytest.raises(Exception, match="answered 401"):
            stranger.knows(DAG)

    def test_the_run_succeeded_and_each_task_ran_once_on_the_instance(self, job: MainJob) -> None:
        runs = job.airflow.runs(DAG)
        assert {run["state"] for run in runs} == {"success"}
        tasks = job.airflow.task_instances(DAG, runs[-1]["dag_run_id"])
        assert sorted(task["task_id"] for task in tasks) == ["greet"] * 5 + ["split", "where"]
        assert {(task["state"], task["try_number"]) for task in tasks} == {("success", 1)}
        assert {task["hostname"] for task in tasks} == {job.instance["PrivateIpAddress"]}

    def test_the_log_of_a_finished_task_is_read_through_the_web_server(self, job: MainJob) -> None:
        run = job.airflow.runs(DAG)[-1]["dag_run_id"]
        (where,) = (task for task in job.airflow.task_instances(DAG, run) if task["task_id"] == "where")
        host = "ip-" + job.instance["PrivateIpAddress"].replace(".", "-")
        assert f"5 greetings from {host}" in job.airflow.log(where)


class TestTheBrowser:
    """The UI as a person sees it; the screenshots stay in build/screenshots."""

    def test_the_printed_login_leads_to_the_successful_run(self, job: MainJob, tmp_path: Path) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        with browser(tmp_path) as page:
            page.goto(job.url)
            page.locator("input[name=username]").fill(job.login[0])
            page.locator("input[name=password]").fill(job.login[1])
            page.screenshot(path=SCREENSHOTS / "login.png")
            page.locator("input[name=password]").press("Enter")
            page.get_by_role("link", name="Dags", exact=True).first.click()
            page.get_by_role("link", name=DAG).click()
            page.get_by_role("link", name="Runs", exact=True).click()
            run = page.get_by_role("row").filter(has_text="manual__").first
            run.get_by_text("Success").wait_for()
            page.screenshot(path=SCREENSHOTS / "run.png")
            page.goto(f"{job.url}/dags")
            page.get_by_role("link", name=DAG).wait_for()
            page.get_by_role("heading", name="Latest Run").wait_for()
            page.screenshot(path=SCREENSHOTS / "dags.png")

    def test_another_password_leads_nowhere(self, job: MainJob, tmp_path: Path) -> None:
        with browser(tmp_path) as page:
            page.goto(job.url)
            page.locator("input[name=username]").fill(job.login[0])
            page.locator("input[name=password]").fill("another")
            page.locator("input[name=password]").press("Enter")
            page.get_by_text("Invalid login").wait_for()
            assert "/auth/login" in page.url


class TestTheInstance:
    """The instance that `up` left, as systemd and a person on it see it."""

    @pytest.mark.parametrize("unit", [ROLES["all"].target, *UNITS])
    def test_every_unit_of_the_role_is_active(self, job: MainJob, unit: str) -> None:
        assert show(job.machine, unit, "ActiveState") == {"ActiveState": "active"}

    @pytest.mark.parametrize("unit", UNITS)
    def test_no_unit_had_to_be_started_twice(self, job: MainJob, unit: str) -> None:
        assert show(job.machine, unit, "NRestarts") == {"NRestarts": "0"}

    def test_the_image_suite_passes_on_it(self, job: MainJob) -> None:
        suite(job, "tests/image", f"--hosts=rehearsal://{job.machine.name}", "--image-state=serving")

    def test_airflow_typed_by_the_administrator_of_the_host_just_works(self, job: MainJob) -> None:
        release = job.machine.execute(["cat", "/etc/airkiln-release"]).stdout
        version = re.search(r"^AIRFLOW_VERSION=(.+)$", release, re.MULTILINE)
        assert version
        assert as_admin(job.machine, "airflow version").split() == [version[1]]
        assert DAG in as_admin(job.machine, "airflow dags list --output plain")
        assert as_admin(job.machine, "id --user --name").strip() == "admin"

    def test_a_user_without_sudo_is_told_what_to_do(self, job: MainJob) -> None:
        refused = job.machine.execute(["runuser", "-u", "daemon", "--", "airflow", "version"], check=False)
        assert refused.returncode != 0
        assert "sudo" in refused.stderr
        assert "Traceback" not in refused.stderr


METADATA = "http://169.254.169.254/latest/meta-data/instance-id"
AS_AIRFLOW = ["setpriv", "--reuid=airflow", "--regid=airflow", "--clear-groups", "--"]
WHO = """
import boto3
session = boto3.Session()
print(session.get_credentials().method, session.client("sts").get_caller_identity()["Arn"])
"""


class TestTheTaskRole:
    """Airflow and its tasks have a role of their own, and no way to the instance's."""

    @pytest.mark.parametrize("unit", UNITS)
    def test_from_inside_a_unit_metadata_is_refused_at_once(self, job: MainJob, unit: str) -> None:
        inside = ["nsenter", f"--target={main_process(job, unit)}", "--mount", "--net", "--"]
        asked = ["curl", "--silent", "--show-error", "--max-time", "5", METADATA]
        refused = job.machine.execute([*inside, *AS_AIRFLOW, *asked], check=False)
        assert refused.returncode == COULD_NOT_CONNECT, refused.stdout + refused.stderr
        # Root in the same place is answered: it is the user who is refused.
        answered = job.machine.execute([*inside, *asked], check=False)
        assert answered.returncode == 0, answered.stderr

    def test_what_the_units_read_leads_to_the_credentials_of_the_task_role(self, job: MainJob) -> None:
        asked = ["/opt/airflow/bin/python", "-P", "-c", WHO]
        method, arn = job.machine.execute([*AS_A_UNIT, *asked]).stdout.split()
        assert method == "container-role"
        assert f":assumed-role/{TASK_ROLE}/" in arn

    def test_the_rule_and_the_credentials_are_there_before_airflow(self, job: MainJob) -> None:
        for unit in ("airkiln-metadata-guard.service", "airkiln-credentials.service"):
            assert show(job.machine, unit, "ActiveState") == {"ActiveState": "active"}
            for each in UNITS:
                assert unit in show(job.machine, each, "After")["After"].split()

    def test_nobody_else_is_given_them(self, job: MainJob) -> None:
        asked = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}"]
        address = "http://127.0.0.1:51679/credentials"
        assert job.machine.execute([*asked, address]).stdout == "401"
        read = ["runuser", "-u", "daemon", "--", "cat", "/run/airkiln/task-token"]
        assert job.machine.execute(read, check=False).returncode != 0


COULD_NOT_CONNECT = 7
"""curl's exit status for a connection that is refused."""


def main_process(job: MainJob, unit: str) -> str:
    return show(job.machine, unit, "MainPID")["MainPID"]


@pytest.fixture(scope="class")
def invocations(job: MainJob) -> dict[str, str]:
    """The units' invocations before the parameters changed."""
    return {unit: show(job.machine, unit, "InvocationID")["InvocationID"] for unit in UNITS}


@pytest.fixture(scope="class")
def reloaded(job: MainJob, invocations: dict[str, str]) -> Iterator[None]:
    job.put("rehearsal/all", STORED)
    try:
        reload(job, invocations)
        yield
    finally:
        before = {unit: show(job.machine, unit, "InvocationID")["InvocationID"] for unit in UNITS}
        job.remove("rehearsal/all", list(STORED))
        reload(job, before)


@pytest.fixture(scope="class")
def variables(job: MainJob, reloaded: None) -> list[bytes]:
    """What a process gets of systemd that runs as the units of Airflow do."""
    return raw(job.machine, *AS_A_UNIT, "/bin/cat", "/proc/self/environ").split(b"\0")


@pytest.mark.usefixtures("reloaded")
class TestReload:
    """Parameters are changed in SSM, and the instance is told by `systemctl reload airkiln-boot`."""

    @pytest.mark.parametrize("name", STORED)
    def test_a_process_gets_every_value_byte_for_byte(self, variables: list[bytes], name: str) -> None:
        values = [each.partition(b"=")[2] for each in variables if each.startswith(f"{name}=".encode())]
        assert values == [STORED[name].encode()]

    def test_the_units_of_airflow_read_the_same_files(self, job: MainJob) -> None:
        read = show(job.machine, WEB_SERVER, "EnvironmentFiles")["EnvironmentFiles"]
        assert [path for path in ENVIRONMENT_FILES if path in read] == ENVIRONMENT_FILES

    def test_only_the_unit_whose_variable_changed_is_restarted(
        self, job: MainJob, invocations: dict[str, str]
    ) -> None:
        now = {unit: show(job.machine, unit, "InvocationID")["InvocationID"] for unit in UNITS}
        assert {unit for unit in UNITS if now[unit] != invocations[unit]} == {WEB_SERVER}

    def test_the_journal_names_what_changed_and_holds_no_value(self, job: MainJob) -> None:
        journal = raw(job.machine, "journalctl", "--no-pager", "--output=export")
        assert f"{PREFIX}ASCII".encode() in journal
        secret = {
            f"{folder}/{name}": value
            for folder in ("common", "webserver", "scheduler", "worker", "database", "all")
            for name, value in job.parameters(f"rehearsal/{folder}").items()
            if name.endswith(("KEY", "SECRET", "PASSWORD", "CONN", "CONN_ASYNC", "BACKEND"))
        }
        assert len(secret) == 25
        told = {name: value for name, value in STORED.items() if len(value.strip()) >= 8}
        assert len(told) == 8
        assert [name for name, value in (secret | told).items() if value.encode() in journal] == []


class TestOtherInstances:
    """Further instances of the same image."""

    def test_without_a_role_nothing_starts(self, job: MainJob) -> None:
        idle = job.launch()
        assert show(idle, "airkiln-boot.service", "Result", "ExecMainStatus", "ActiveState") == {
            "Result": "success",
            "ExecMainStatus": "0",
            "ActiveState": "active",
        }
        assert "this machine has no role" in journal_of(idle)
        # What sends the first lines of the journal ends by itself.
        until(lambda: running_units(idle) == {"airkiln-boot.service"}, lambda: running_units(idle))
        suite(job, "tests/image/test_units.py", f"--hosts=rehearsal://{idle.name}", "--image-state=idle")
        job.terminate(idle)

    def test_a_weak_secret_is_refused_by_name_and_nothing_starts(self, job: MainJob) -> None:
        weak = "AIRFLOW__API__SECRET_KEY"
        complete = job.parameters("rehearsal/common") | job.parameters("rehearsal/scheduler")
        job.put("weak/common", complete | {weak: "temporary_key"})
        refused = job.launch(role="all", environment="weak")
        assert show(refused, "airkiln-boot.service", "ActiveState", "Result") == {
            "ActiveState": "failed",
            "Result": "exit-code",
        }
        journal = journal_of(refused)
        assert set(re.findall(r"\b(?:AIRFLOW|AWS|AIRKILN)_[A-Z_]+", journal)) == {weak}
        assert "temporary_key" not in journal
        # A boot that fails tells the stack that waits for the instance, if one does, and sends its journal.
        told = {"airkiln-signal.service", "airkiln-early-journal.service"}
        assert {"airkiln-signal.service"} <= running_units(refused) <= told
        assert refused.execute(["find", "/run/airkiln", "-type", "f"]).stdout == ""
        job.terminate(refused)


def test_the_image_suite_passes_on_the_baked_image(job: MainJob) -> None:
    image = Catalogue(job.region).get(job.image)
    assert image is not None
    folder = job.region.run / "baked"
    remove_tree(folder)
    for part in ("upper", "work", "root"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    root = folder / "root"
    mounts = [
        overlay_command([Path(layer) for layer in image.layers], folder / "upper", folder / "work", root),
        f"mount -t proc proc '{root}/proc'",
        f"mount --rbind /dev '{root}/dev'",
    ]
    suite(job, "tests/image", "--connection=chroot", f"--hosts={root}", "--image-state=baked", before=mounts)


def test_a_second_run_keeps_the_image_the_instance_and_the_login(job: MainJob) -> None:
    instance, bakes = job.instance, (job.region.logs / "bake.log").stat().st_mtime_ns
    leader = job.machine.leader()
    again = MainJob(job.region, job.port)
    again.output = again.run()
    assert (again.url, again.login) == (job.url, job.login)
    assert (again.instance["InstanceId"], again.image) == (instance["InstanceId"], instance["ImageId"])
    assert again.machine.leader() == leader
    assert (job.region.logs / "bake.log").stat().st_mtime_ns == bakes
    remarks = {name: remark for _, _, name, remark in STAGE.findall(again.output)}
    assert remarks["Airflow on one instance (role all)"] == "runs already"
    assert again.airflow.knows(DAG)


class TestEveryParameter:
    """The last one: it leaves the instance booting anew."""

    def test_a_reload_of_every_shared_parameter_reaches_its_consumers_and_no_other(
        self, job: MainJob
    ) -> None:
        with every_parameter.restored(job):
            for names in every_parameter.REACH:
                every_parameter.change(job, names)


def as_admin(machine: Machine, command: str) -> str:
    """What a command prints in a login session of the user admin."""
    return machine.execute(["runuser", "--login", "admin", "--command", command]).stdout


def reload(job: MainJob, before: dict[str, str]) -> None:
    """Reload, and wait until the web server runs anew and answers."""
    job.machine.execute(["systemctl", "reload", "airkiln-boot.service"], timeout=PATIENCE)

    def restarted() -> bool:
        now = show(job.machine, WEB_SERVER, "InvocationID", "ActiveState")
        return now["InvocationID"] != before[WEB_SERVER] and now["ActiveState"] == "active"

    until(restarted, "the web server runs anew")
    until(lambda: not job.airflow.unhealthy(), job.airflow.unhealthy)


def journal_of(machine: Machine) -> str:
    """The messages of the boot unit."""
    asked = ["journalctl", "--no-pager", "--output=cat", "--unit=airkiln-boot.service"]
    return machine.execute(asked).stdout


def running_units(machine: Machine) -> set[str]:
    """Our units that are active, or on their way."""
    asked = ["systemctl", "list-units", "--state=active,activating,reloading", "--plain", "--no-legend"]
    return {
        line.split()[0] for line in machine.execute([*asked, "airkiln-*", "airflow-*"]).stdout.splitlines()
    }
