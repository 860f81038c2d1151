"""DNS messages: what is asked, and what an answer holds."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address

import pytest

from rehearsal.aws.services.resolver.messages import NO_SUCH_NAME, TYPE_A, answer, read

TYPE_AAAA = 28
ADDRESSES = [IPv4Address("10.20.48.4"), IPv4Address("10.20.64.4")]


def query(name: str, kind: int = TYPE_A, *, questions: int = 1, flags: int = 0x0100) -> bytes:
    """A query as a stub resolver sends it."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    header = struct.pack("!6H", 0x1234, flags, questions, 0, 0, 0)
    return header + labels + b"\0" + struct.pack("!HH", kind, 1)


def told(message: bytes) -> list[str]:
    """The addresses in an answer, as their last four bytes of each record of sixteen."""
    (count,) = struct.unpack_from("!H", message, 6)
    return [
        socket.inet_ntoa(message[len(message) - 16 * left + 12 : len(message) - 16 * left + 16])
        for left in range(count, 0, -1)
    ]


def test_a_name_is_read_in_lower_case() -> None:
    asked = read(query("Airflow.Example.COM"))
    assert (asked.number, asked.name, asked.type) == (0x1234, "airflow.example.com", TYPE_A)


def test_an_answer_repeats_the_question_and_holds_every_address() -> None:
    asked = read(query("airflow.example.com"))
    message = answer(asked, ADDRESSES)
    number, flags, questions, answers, *_ = struct.unpack_from("!6H", message)
    assert (number, questions, answers) == (0x1234, 1, 2)
    assert flags & 0x8000
    assert flags & 0x000F == 0
    assert asked.text in message
    assert told(message) == ["10.20.48.4", "10.20.64.4"]


def test_a_name_has_no_address_of_another_type_and_still_exists() -> None:
    message = answer(read(query("airflow.example.com", TYPE_AAAA)), ADDRESSES)
    _, flags, _, answers, *_ = struct.unpack_from("!6H", message)
    assert (flags & 0x000F, answers) == (0, 0)


def test_a_name_that_does_not_exist_is_said_not_to() -> None:
    message = answer(read(query("nothing.example.com")), [], NO_SUCH_NAME)
    assert struct.unpack_from("!H", message, 2)[0] & 0x000F == NO_SUCH_NAME


@pytest.mark.parametrize(
    "message",
    [
        b"",
        query("example.com")[:20],
        query("example.com")[:-2],
        query("example.com", questions=2),
        query("example.com", flags=0x8100),
        query("example.com")[:12] + b"\xc0\x0c\0\1\0\1",
    ],
    ids=["nothing", "half a name", "half a type", "two questions", "an answer", "a pointer"],
)
def test_what_is_no_question_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match=r"question|header"):
        read(message)
