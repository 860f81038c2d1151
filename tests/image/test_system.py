"""The system below Airflow: users, files, clock, journal, kernel, EFS."""

from __future__ import annotations

import re

import pytest
from testinfra.host import Host

from tests.image.conftest import lines, role_defaults


def test_the_system_is_debian_13(host: Host) -> None:
    assert (host.system_info.distribution, host.system_info.release.split(".")[0]) == ("debian", "13")


def test_airflow_is_a_system_user_that_nobody_logs_in_as(host: Host) -> None:
    user = host.user("airflow")
    assert (user.uid, user.gid, user.home, user.shell) == (990, 990, "/var/lib/airflow", "/usr/sbin/nologin")


def test_airflow_belongs_to_no_other_group(host: Host) -> None:
    assert host.user("airflow").groups == ["airflow"]


@pytest.mark.parametrize("path", ["/opt", "/etc/airkiln"])
def test_code_and_settings_belong_to_root(host: Host, path: str) -> None:
    assert host.file(path).is_directory
    assert lines(host, f"find {path} -xdev -not -user root") == []


@pytest.mark.parametrize("path", ["/opt", "/etc", "/usr/local"])
def test_nothing_is_writable_by_everybody(host: Host, path: str) -> None:
    assert lines(host, f"find {path} -xdev -perm -0002 -not -type l") == []


def test_large_temporary_files_do_not_fill_the_memory(host: Host) -> None:
    assert host.run("systemctl is-enabled tmp.mount").stdout.strip() == "masked"


def test_nothing_of_ours_runs_as_its_owner(host: Host) -> None:
    assert lines(host, "find /opt /usr/local -xdev -type f -perm /6000") == []


@pytest.mark.parametrize("command", ["uv", "uvx"])
@pytest.mark.state("baked", "idle", "serving")
def test_the_tools_of_the_build_are_gone(host: Host, command: str) -> None:
    assert host.run(f"command -v {command}").rc != 0


@pytest.mark.parametrize(
    "key",
    [
        "AIRKILN_VERSION",
        "AIRFLOW_VERSION",
        "PYTHON_VERSION",
        "SOURCE_AMI",
        "COMMIT",
        "BUILT_AT",
        "ARCHITECTURE",
        "DEBIAN_VERSION",
    ],
)
def test_the_image_says_what_it_is(host: Host, key: str) -> None:
    release = host.file("/etc/airkiln-release")
    assert (release.user, release.mode) == ("root", 0o644)
    assert re.search(rf"^{key}=\S+$", release.content_string, re.MULTILINE)


@pytest.mark.parametrize("package", role_defaults("base")["base_packages_absent"])
def test_nothing_changes_the_host_behind_its_operator(host: Host, package: str) -> None:
    assert not host.package(package).is_installed


def test_the_clock_follows_amazons_time_service_alone(host: Host) -> None:
    sources = lines(host, "cat /etc/chrony/chrony.conf /etc/chrony/sources.d/*.sources")
    servers = [line.split()[1] for line in sources if re.match(r"(server|pool|peer)\s", line)]
    assert servers == ["169.254.169.123"]


def test_the_journal_outlives_a_reboot_and_is_bounded(host: Host) -> None:
    shown = lines(host, "systemd-analyze cat-config systemd/journald.conf")
    settings = dict(line.split("=", 1) for line in shown if "=" in line and not line.startswith("#"))
    assert (settings["Storage"], settings["SystemMaxUse"]) == ("persistent", "1G")


def test_dead_database_peers_are_found(host: Host) -> None:
    wanted = {"time": "60", "intvl": "10", "probes": "6"}
    written = host.file("/etc/sysctl.d/60-airkiln.conf").content_string
    assert all(f"net.ipv4.tcp_keepalive_{name} = {value}" in written for name, value in wanted.items())


@pytest.mark.state("baked", "idle")
def test_session_manager_is_the_way_in(host: Host) -> None:
    assert {host.run(f"systemctl is-enabled {unit}").rc == 0 for unit in ("ssh.service", "ssh.socket")} == {
        False
    }
    assert "PasswordAuthentication no" in host.file("/etc/ssh/sshd_config.d/60-airkiln.conf").content_string


@pytest.mark.parametrize("module", ["usb-storage", "dccp", "cramfs"])
def test_a_kernel_module_that_nobody_needs_is_never_loaded(host: Host, module: str) -> None:
    assert f"install {module} /bin/false" in host.file("/etc/modprobe.d/airkiln.conf").content_string


def test_no_process_reads_the_memory_of_another_one_of_its_user(host: Host) -> None:
    written = host.file("/etc/sysctl.d/61-airkiln-hardening.conf").content_string
    assert "kernel.yama.ptrace_scope = 2" in written.splitlines()


def test_no_service_leaves_its_memory_in_a_core_file(host: Host) -> None:
    shown = lines(host, "systemd-analyze cat-config systemd/system.conf")
    limits = [line for line in shown if line.startswith("DefaultLimitCORE=")]
    assert limits[-1] == "DefaultLimitCORE=0", "the last file decides"
    assert "Storage=none" in host.file("/etc/systemd/coredump.conf.d/10-airkiln.conf").content_string


def test_systemd_gives_every_service_of_ours_that_limit(host: Host, booted: None) -> None:
    units = ("airflow-scheduler", "airflow-worker@1", "airkiln-failover", "airkiln-boot")
    shown = [lines(host, f"systemctl show --value --property=LimitCORE {unit}.service") for unit in units]
    assert shown == [["0"]] * len(units)


def test_a_login_shell_is_private_and_ends_when_nobody_uses_it(host: Host) -> None:
    script = "env -u TMOUT PS1=x sh -c '. /etc/profile.d/airkiln.sh; umask; ulimit -c; echo $TMOUT'"
    said = host.check_output(script)
    assert said.split() == ["0027", "0", "900"]


def test_what_is_installed_by_command_stays_readable_for_the_service_user(host: Host) -> None:
    defined = host.file("/etc/login.defs").content_string
    assert [line for line in defined.splitlines() if line.startswith("UMASK")] == []


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("/boot/grub/grub.cfg", 0o600),
        ("/etc/cron.d", 0o700),
        ("/etc/cron.daily", 0o700),
        ("/etc/cron.hourly", 0o700),
        ("/etc/cron.monthly", 0o700),
        ("/etc/cron.weekly", 0o700),
        ("/etc/crontab", 0o600),
        ("/etc/ssh/sshd_config", 0o600),
    ],
)
def test_only_root_reads_what_only_root_needs(host: Host, path: str, mode: int) -> None:
    file = host.file(path)
    assert not file.exists or (file.user, file.group, file.mode) == ("root", "root", mode)


@pytest.mark.parametrize("path", ["/etc/passwd", "/etc/group", "/etc/shells", "/etc/passwd-", "/etc/group-"])
def test_who_exists_is_written_by_root_alone(host: Host, path: str) -> None:
    file = host.file(path)
    assert not file.exists or (file.user, file.mode & 0o133) == ("root", 0)


@pytest.mark.parametrize("path", ["/etc/shadow", "/etc/gshadow", "/etc/shadow-", "/etc/gshadow-"])
def test_passwords_are_read_by_root_and_its_checker(host: Host, path: str) -> None:
    file = host.file(path)
    assert not file.exists or (file.user, file.group, file.mode) == ("root", "shadow", 0o640)


def test_nobody_has_a_password(host: Host) -> None:
    fields = [line.split(":")[:2] for line in lines(host, "cat /etc/shadow")]
    assert [name for name, password in fields if not password.startswith(("!", "*"))] == []


def test_links_in_shared_folders_are_not_followed_for_others(host: Host) -> None:
    written = host.file("/etc/sysctl.d/61-airkiln-hardening.conf").content_string.splitlines()
    assert {"fs.protected_symlinks = 1", "fs.protected_hardlinks = 1"} <= set(written)


@pytest.mark.parametrize("package", ["lynis", "debian-cis", "cis-hardening"])
def test_no_auditing_tool_is_left(host: Host, package: str) -> None:
    assert not host.package(package).is_installed


def test_the_locale_is_utf_8(host: Host) -> None:
    assert "LANG=C.UTF-8" in host.file("/etc/default/locale").content_string


def test_the_units_of_the_mount_have_the_name_that_systemd_asks_for(host: Host) -> None:
    path = role_defaults("efs")["efs_mount_path"]
    name = host.check_output(f"systemd-escape --path {path}")
    assert host.file(f"/etc/systemd/system/{name}.mount").exists
    assert host.file(f"/etc/systemd/system/{name}.automount").exists


def test_every_role_pulls_the_mount_and_none_requires_it(host: Host, booted: None) -> None:
    for role in ("webserver", "scheduler", "worker", "all"):
        shown = host.check_output(f"systemctl show --property=Wants,Requires airkiln-{role}.target")
        wants, requires = (
            dict(line.split("=", 1) for line in shown.splitlines())[key] for key in ("Wants", "Requires")
        )
        assert "srv-efs.automount" in wants.split()
        assert "srv-efs.automount" not in requires.split()


def test_nothing_listens_but_ssh_and_what_serves(host: Host, booted: None, state: str) -> None:
    served = {"22"} | ({"8080", "8081", "8793", "8794", "8974", "5432"} if state == "serving" else set())
    outside = [
        line.split()[3] for line in lines(host, "ss -Hltn") if "127.0.0." not in line and "[::1]" not in line
    ]
    assert {address.rpartition(":")[2] for address in outside} <= served
