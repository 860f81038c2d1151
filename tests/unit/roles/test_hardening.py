"""What the image closes: sshd, kernel modules, kernel settings, core dumps."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.unit.roles.rendering import ROLES, render

ROOT = ROLES.parent


def tasks(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((ROLES / f"base/tasks/{name}.yml").read_text("utf-8"))
    return found


def lines(path: str) -> list[str]:
    return render("base", path).splitlines()


def test_a_bake_disables_sshd_and_hardens_it_for_those_who_keep_it() -> None:
    bake = yaml.safe_load((ROOT / "playbooks/image.yml").read_text("utf-8"))[0]["vars"]
    assert bake["base_sshd_enabled"] == "{{ image_sshd_enabled | default(false) }}"
    assert bake["base_sshd_hardened"] is True
    (disable,) = [task for task in tasks("service") if task.get("when") == "not base_sshd_enabled"]
    assert disable["ansible.builtin.systemd_service"]["enabled"] is False
    assert set(disable["loop"]) == {"ssh.service", "ssh.socket"}
    (harden,) = [task for task in tasks("hardening") if task.get("when") == "base_sshd_hardened"]
    assert harden["ansible.builtin.template"]["dest"] == "/etc/ssh/sshd_config.d/60-airkiln.conf"
    assert {"PasswordAuthentication no", "PermitRootLogin no"} <= set(
        lines("/etc/ssh/sshd_config.d/60-airkiln.conf")
    )


def test_every_file_of_the_hardening_is_written() -> None:
    (written,) = [task["loop"] for task in tasks("hardening") if "kernel" in task["name"]]
    assert {"etc/modprobe.d/airkiln.conf", "etc/sysctl.d/61-airkiln-hardening.conf"} <= set(written)
    assert "etc/security/limits.d/60-airkiln.conf" in written


@pytest.mark.parametrize("module", ["cramfs", "dccp", "firewire-core", "rds", "sctp", "tipc", "usb-storage"])
def test_a_kernel_module_that_nobody_needs_is_never_loaded(module: str) -> None:
    assert f"install {module} /bin/false" in lines("/etc/modprobe.d/airkiln.conf")


@pytest.mark.parametrize(
    "setting",
    [
        "fs.suid_dumpable = 0",
        "kernel.dmesg_restrict = 1",
        "kernel.kptr_restrict = 2",
        "kernel.unprivileged_bpf_disabled = 1",
        "kernel.yama.ptrace_scope = 2",
        "net.ipv4.conf.all.accept_redirects = 0",
        "net.ipv4.conf.all.rp_filter = 1",
    ],
)
def test_the_kernel_tells_and_takes_no_more_than_is_needed(setting: str) -> None:
    assert setting in lines("/etc/sysctl.d/61-airkiln-hardening.conf")


def test_nobody_writes_core_dumps() -> None:
    assert [line.split() for line in lines("/etc/security/limits.d/60-airkiln.conf") if "core" in line][
        -1
    ] == [
        "*",
        "hard",
        "core",
        "0",
    ]
