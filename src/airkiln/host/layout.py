"""Where things lie on an instance. One value to pass around, so that a test can have a machine in a
folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SERVICE_USER = "airflow"
SERVICE_GROUP = "airflow"


@dataclass(frozen=True)
class Layout:
    """Paths on an instance below `root` ("/" but in tests)."""

    root: Path = Path("/")

    @property
    def boot_toml(self) -> Path:
        """Optional overrides for `airkiln boot`, written by site.yml on a host without AWS."""
        return self.root / "etc/airkiln/boot.toml"

    @property
    def aws_env(self) -> Path:
        """Settings of the AWS SDK baked into the image; nothing secret."""
        return self.root / "etc/airkiln/aws.env"

    @property
    def static_env(self) -> Path:
        """Settings baked into the image; nothing secret."""
        return self.root / "etc/airkiln/airflow.env"

    @property
    def airflow_cfg(self) -> Path:
        """Airflow's configuration file, which holds no option."""
        return self.root / "etc/airkiln/airflow.cfg"

    @property
    def failover_toml(self) -> Path:
        """The failover controller's timings."""
        return self.root / "etc/airkiln/failover.toml"

    @property
    def failover_gate(self) -> Path:
        """The drop-in that binds the scheduler to a failover controller; absent where it runs without one."""
        return self.root / "etc/systemd/system/airflow-scheduler.service.d/40-failover.conf"

    @property
    def run_env(self) -> Path:
        """All of what the boot path loaded, for root's programs and operators' commands: root 0600 on tmpfs.

        Beside it lies a file for each unit with what that unit receives (`airkiln.receivers`).
        """
        return self.root / "run/airkiln/airflow.env"

    @property
    def admin_env(self) -> Path:
        """The logins of the database step, the failover controller and the drain: root 0600 on tmpfs."""
        return self.root / "run/airkiln/admin.env"

    @property
    def instance_json(self) -> Path:
        """Role, environment, region and instance id for everything else on the instance; no secret."""
        return self.root / "run/airkiln/instance.json"

    @property
    def unfinished_reload(self) -> Path:
        """Names of changed variables whose units have not been restarted yet, a line each; no value."""
        return self.root / "run/airkiln/unfinished-reload"

    @property
    def task_token(self) -> Path:
        """What Airflow's processes show to be given the task role's credentials: root:airflow 0640 on tmpfs.

        It exists only where the instance has a task role.
        """
        return self.root / "run/airkiln/task-token"

    @property
    def worker_generation(self) -> Path:
        """The number of the worker's newest generation, once a reload has started another than the first."""
        return self.root / "run/airkiln/worker-generation"

    @property
    def runtime_units(self) -> Path:
        """systemd's folder of units that last until the machine ends."""
        return self.root / "run/systemd/system"

    @property
    def airflow_home(self) -> Path:
        """AIRFLOW_HOME and the service user's home."""
        return self.root / "var/lib/airflow"

    @property
    def airflow_bin(self) -> Path:
        """The `airflow` command of Airflow's own environment."""
        return self.root / "opt/airflow/bin/airflow"

    @property
    def cloudwatch_config(self) -> Path:
        """What the CloudWatch agent collects, with the environment's name filled in; nothing secret."""
        return self.root / "opt/aws/amazon-cloudwatch-agent/etc/amazon-cloudwatch-agent.json"

    @property
    def early_journal_sent(self) -> Path:
        """Exists once the journal from before the CloudWatch agent's start has been sent."""
        return self.root / "var/lib/airkiln-early-journal/sent"

    @property
    def dmi_vendor(self) -> Path:
        """The machine's maker: "Amazon EC2" on every Nitro instance."""
        return self.root / "sys/class/dmi/id/sys_vendor"
