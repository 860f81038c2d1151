"""What PostgreSQL's log says of logins that had begun and not ended."""

from __future__ import annotations

from rehearsal.chaos.faults.database import half_open_logins

HOST = "10.42.1.4"


def entry(second: float, session: str, message: str, severity: str = "LOG") -> dict[str, str]:
    return {
        "timestamp": f"2026-11-21 05:00:{second:06.3f} UTC",
        "session_id": session,
        "message": message,
        "error_severity": severity,
    }


def received(second: float, session: str, host: str = HOST) -> dict[str, str]:
    return entry(second, session, f"connection received: host={host} port=40000")


AT = 1795237202.0
"""05:00:02 UTC."""


def test_a_login_that_was_received_and_not_authorized_is_half_open_logins() -> None:
    assert half_open_logins([received(1, "a"), received(1, "b", "10.42.1.5")], HOST, AT) == 1


def test_a_login_that_was_authorized_refused_or_given_up_before_is_none() -> None:
    log = [
        *(received(1, session) for session in "abc"),
        entry(1.1, "a", "connection authorized: user=airflow_scheduler_1"),
        entry(1.2, "b", 'role "airflow_scheduler_1" is not permitted to log in', "FATAL"),
        entry(1.3, "c", "disconnection: session time: 0:00:00.1"),
    ]
    assert half_open_logins(log, HOST, AT) == 0


def test_what_came_later_does_not_count() -> None:
    log = [received(1, "a"), entry(3, "a", "connection authorized: user=x"), received(3, "b")]
    assert half_open_logins(log, HOST, AT) == 1
