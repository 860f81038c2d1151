"""How `make security` reads what the tools print, and what it calls open."""

from __future__ import annotations

import dataclasses
import re

import pytest

from tools.security import cis, exposure, lynis
from tools.security.__main__ import waivers
from tools.security.report import Findings, open_points, text

REPORT = """\
# Lynis Report
hardening_index=67
suggestion[]=AUTH-9262|Install a PAM module|-|-|
suggestion[]=KRNL-6000|One or more sysctl values differ|-|Change sysctl value|
warning[]=PKGS-7392|Found one or more vulnerable packages.|-|-|
details[]=KRNL-6000|sysctl|desc:Restrict;field:kernel.perf_event_paranoid;prefval:2|3|4;value:1;|
details[]=KRNL-6000|sysctl|desc:Log;field:net.ipv4.conf.all.log_martians;prefval:1;value:0;|
"""
LOG = """\
2026-11-26 03:50:00 Performing test ID AUTH-9262 (Checking presence password strength testing tools (PAM))
2026-11-26 03:50:00 Hardening: assigned partial number of hardening points (0 of 3). Currently having 0 points
2026-11-26 03:50:00 Performing test ID KRNL-6000 (Check sysctl key pairs in scan profile)
2026-11-26 03:50:00 Hardening: assigned maximum number of hardening points for this item (1). Currently having
2026-11-26 03:50:00 Hardening: assigned partial number of hardening points (0 of 1). Currently having 1 points
2026-11-26 03:50:00 Performing test ID BANN-7126 (Check issue banner file contents)
2026-11-26 03:50:00 Hardening: assigned maximum number of hardening points for this item (2). Currently having
"""
AUDIT = lynis.parse(REPORT, LOG)
BATCH = """\
OK 1.1.1.1_disable_freevxfs  OK{CONFIG_VXFS_FS is disabled}
KO 5.1.2_crontab_perm_ownership  OK{/etc/crontab exists} KO{permissions were not set to 600}
AUDIT_SUMMARY PASSED_CHECKS:19 RUN_CHECKS:20 TOTAL_CHECKS_AVAIL:241 CONFORMITY_PERCENTAGE:95.00
"""


def findings(**changes: object) -> Findings:
    """An image in which nothing is open."""
    clean = dataclasses.replace(AUDIT, index=80, warnings=(), suggestions=(), lost={}, kernel={})
    return dataclasses.replace(
        Findings(
            image="ami-1",
            waivers={"lynis": {}, "debian_cis": {}},
            scores={"airkiln-boot.service": 1.9, "amazon-ssm-agent.service": 9.6},
            lynis_version="3.1.4",
            plain=clean,
            waived=clean,
            shared=[],
            cis=None,
        ),
        **changes,  # type: ignore[arg-type]
    )


class TestLynis:
    """Report, log and waivers."""

    def test_warnings_and_suggestions_are_read_with_their_tests(self) -> None:
        assert [each.test for each in AUDIT.warnings] == ["PKGS-7392"]
        assert AUDIT.suggestions[0] == lynis.Finding("AUTH-9262", "Install a PAM module")

    def test_points_are_those_of_the_log_and_the_lost_ones_have_a_test(self) -> None:
        assert (AUDIT.points, AUDIT.possible) == (3, 7)
        assert AUDIT.lost == {"AUTH-9262": 3, "KRNL-6000": 1}

    def test_an_audit_that_has_not_ended_is_no_result(self) -> None:
        with pytest.raises(ValueError, match="has not ended"):
            lynis.parse("suggestion[]=AUTH-9262|Install a PAM module|-|-|\n", LOG)

    def test_a_waiver_leaves_its_test_out_and_keeps_its_reason(self) -> None:
        assert lynis.profile({"USB-3000": "No USB."}) == "# No USB.\nskip-test=USB-3000\n"

    def test_a_waiver_that_waives_nothing_is_named(self) -> None:
        asked = {"AUTH-9262": "x", "KRNL-6000:kernel.sysrq": "x", "BANN-7126": "x"}
        assert lynis.unused(asked, AUDIT) == ["BANN-7126"]

    def test_what_comes_from_no_test_is_waived_all_the_same(self) -> None:
        assert [each.test for each in lynis.unwaived(AUDIT, {"KRNL-6000": "x", "PKGS-7392": "x"})] == [
            "AUTH-9262"
        ]

    def test_the_last_value_of_a_kernel_setting_counts(self) -> None:
        written = "# /etc/sysctl.d/1.conf\n-kernel.sysrq = 1\nkernel/sysrq=0\n; net.a = 1\n\n"
        assert lynis.kernel_settings(written) == {"kernel.sysrq": "0"}

    def test_settings_that_the_image_writes_count_as_the_host_s(self) -> None:
        written = {"kernel.perf_event_paranoid": "3", "net.ipv4.conf.all.log_martians": "0"}
        shared = lynis.shared_with_the_host(AUDIT, written)
        assert shared == ["kernel.perf_event_paranoid"]
        assert list(lynis.kernel_waivers(shared)) == ["KRNL-6000:kernel.perf_event_paranoid"]

    def test_the_index_on_a_kernel_of_its_own_has_their_points(self) -> None:
        assert lynis.with_points(AUDIT, 0) == 42
        assert lynis.with_points(AUDIT, 1) == 57


class TestCis:
    """debian-cis, from a folder."""

    def test_passed_run_and_failed_checks_are_read(self) -> None:
        assert cis.parse(BATCH) == cis.Result(19, 20, ("5.1.2_crontab_perm_ownership",))
        assert cis.parse(BATCH).percent == 95

    def test_an_audit_without_checks_is_no_result(self) -> None:
        with pytest.raises(ValueError, match="cannot source"):
            cis.parse("cannot source CIS_LIB_DIR")

    def test_the_script_audits_level_one_and_applies_nothing(self) -> None:
        script = cis.script("/run/x")
        assert "--set-hardening-level 1 " in script
        assert script.splitlines()[-1].endswith("--audit --batch")
        assert "--apply" not in script
        assert set(re.findall(r"CIS_\w+_DIR=", script)) == {
            f"CIS_{name}_DIR=" for name in ("LIB", "CHECKS", "CONF", "TMP", "VERSIONS")
        }


class TestExposure:
    """systemd's own figure."""

    def test_a_template_is_measured_as_an_instance(self) -> None:
        assert exposure.command("airflow-worker@.service", running=True).endswith(" airflow-worker@1.service")

    def test_where_no_systemd_runs_the_files_are_read(self) -> None:
        assert "--offline=yes" in exposure.command("x.service", running=False)

    def test_the_score_is_read_and_its_absence_told(self) -> None:
        assert exposure.score("→ Overall exposure level for a.service: 1.9 OK") == 1.9
        with pytest.raises(ValueError, match="no such unit"):
            exposure.score("no such unit")

    def test_only_services_of_ours_have_a_limit(self) -> None:
        scores = {"airflow-worker@.service": 3.0, "airkiln-boot.service": 2.1, "ssh.service": 9.6}
        assert exposure.above(scores) == {"airkiln-boot.service": 2.1}


class TestWhatIsOpen:
    """Each kind of shortfall is a sentence of its own, and the exit status."""

    def test_nothing_is_open_where_everything_is_reached(self) -> None:
        assert open_points(findings()) == []

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"scores": {"airkiln-boot.service": 2.1}}, "airkiln-boot.service has an exposure of 2.1"),
            ({"waived": dataclasses.replace(AUDIT, index=74, warnings=())}, "index with waivers is 74"),
            ({"waived": dataclasses.replace(AUDIT, index=80)}, "PKGS-7392"),
            ({"waived": dataclasses.replace(AUDIT, index=80, warnings=())}, "AUTH-9262"),
            ({"waivers": {"lynis": {"USB-3000": "x"}, "debian_cis": {}}}, "USB-3000 waives nothing"),
            ({"cis": cis.Result(17, 20, ("a",))}, "passes 85 %"),
            ({"cis": cis.Result(19, 20, ("a",))}, "fails a"),
        ],
        ids=["exposure", "index", "warning", "suggestion", "waiver", "per cent", "check"],
    )
    def test_what_misses_its_target_is_open(self, changes: dict[str, object], said: str) -> None:
        found = findings(**changes)
        assert [point for point in open_points(found) if said in point]
        assert said in text(found)

    def test_a_waived_check_is_not_open(self) -> None:
        waived = {"lynis": {}, "debian_cis": {"a": "Why."}}
        assert open_points(findings(cis=cis.Result(19, 20, ("a",)), waivers=waived)) == []

    def test_what_was_not_run_is_said(self) -> None:
        assert f"{cis.VARIABLE}=" in text(findings())

    def test_the_end_of_the_report_promises_nothing_of_what_was_not_run(self) -> None:
        def end(report: str) -> list[str]:
            return [line.strip() for line in report.splitlines()[-6:] if line.strip()]

        assert end(text(findings())) == [
            "Open",
            "Nothing of what was examined.",
            "Not examined",
            "debian-cis: whether 90 % of its checks of level 1 pass is not known.",
        ]
        ran = text(findings(cis=cis.Result(20, 20, ())))
        assert end(ran)[-2:] == ["Not examined", "Nothing."]


class TestTheWaivers:
    """tools/security/waivers.yaml."""

    def test_every_waiver_has_a_reason_in_a_sentence(self) -> None:
        reasons = [reason for tool in waivers().values() for reason in tool.values()]
        assert reasons
        assert [reason for reason in reasons if not re.fullmatch(r"[A-Za-z].{20,}\.", reason)] == []

    def test_the_report_names_each_with_its_reason(self) -> None:
        printed = text(findings(waivers=waivers()))
        assert [test for test, reason in waivers()["lynis"].items() if reason not in printed] == []
