"""Reads questions of DNS and writes answers (RFC 1035): one question, and addresses of IPv4.

Left out: everything that a stub resolver does not need of the names here, such as EDNS and other types.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

HEADER = struct.Struct("!6H")
TYPE_A = 1
CLASS_IN = 1
NO_ERROR, NO_SUCH_NAME, FAILURE = 0, 3, 2
RESPONSE, RECURSION_DESIRED, RECURSION_AVAILABLE = 0x8000, 0x0100, 0x0080
NAME_OF_THE_QUESTION = 0xC000 | HEADER.size
"""A pointer to the first byte after the header."""
TTL = 5
"""Seconds for which an answer may be kept. The names of RDS endpoints move within seconds in a failover."""
LONGEST_LABEL = 63


@dataclass(frozen=True)
class Question:
    """What a message asks."""

    number: int
    flags: int
    name: str
    """In lower case, without the last dot."""
    type: int
    text: bytes
    """The question as it stands in the message."""


def read(message: bytes) -> Question:
    """Return the question of a message.

    :raises ValueError: it is not a query with one question.
    """
    if len(message) < HEADER.size:
        raise ValueError("The message is shorter than a header.")
    number, flags, questions, *_ = HEADER.unpack_from(message)
    if flags & RESPONSE or questions != 1:
        raise ValueError("The message is not a query with one question.")
    labels, at = [], HEADER.size
    while True:
        length = message[at] if at < len(message) else LONGEST_LABEL + 1
        if length > LONGEST_LABEL or at + 1 + length > len(message):
            raise ValueError("The question's name is not complete.")
        at += 1
        if not length:
            break
        labels.append(message[at : at + length].decode("ascii").lower())
        at += length
    if len(message) < at + 4:
        raise ValueError("The question has no type.")
    (kind,) = struct.unpack_from("!H", message, at)
    return Question(number, flags, ".".join(labels), kind, message[HEADER.size : at + 4])


def answer(asked: Question, addresses: Sequence[IPv4Address], status: int = NO_ERROR) -> bytes:
    """Return the message that answers a question with these addresses, or with none."""
    told = addresses if asked.type == TYPE_A else []
    flags = RESPONSE | asked.flags & RECURSION_DESIRED | RECURSION_AVAILABLE | status
    header = HEADER.pack(asked.number, flags, 1, len(told), 0, 0)
    records = [
        struct.pack("!HHHIH4s", NAME_OF_THE_QUESTION, TYPE_A, CLASS_IN, TTL, 4, address.packed)
        for address in told
    ]
    return header + asked.text + b"".join(records)
