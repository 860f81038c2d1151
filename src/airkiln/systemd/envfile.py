"""systemd's EnvironmentFile: written so that systemd gives back every byte, read by systemd's own grammar.

The grammar is that of systemd 257 (src/basic/env-file.c, parse_env_file_internal). Between double quotes a
backslash is taken off before `"`, `\\`, a backtick or `$` only (SHELL_NEED_ESCAPE, src/basic/escape.h);
nothing is expanded; every other byte stands for itself. What systemd would refuse when it reads the file is
refused here before writing (see `rules.unusable_reason`), because one such value makes systemd reject the
whole file, and name the value in the journal as it does so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

_ESCAPED = '"\\`$'
_NEWLINES = "\n\r"
_BLANKS = " \t\n\r"
_COMMENTS = "#;"


def render(values: Mapping[str, str]) -> str:
    """The file's text, sorted by name so that equal values give equal files."""
    return "".join(f'{name}="{_escape(values[name])}"\n' for name in sorted(values))


def _escape(value: str) -> str:
    return "".join(f"\\{char}" if char in _ESCAPED else char for char in value)


def parse(text: str) -> dict[str, str]:
    """Read an EnvironmentFile as systemd does; a name given twice has its last value.

    Like systemd, lines without `=` are skipped and names are not checked.
    """
    return dict(_assignments(text.split("\0", 1)[0]))


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    position, end = 0, len(text)
    while position < end:
        char = text[position]
        if char in _COMMENTS:
            # A backslash at the end of a comment does not continue it (systemd 254 and later).
            position = _find(text, position, _NEWLINES) + 1
        elif char in _BLANKS:
            position += 1
        else:
            stop = _find(text, position + 1, "=" + _NEWLINES)
            if stop == end or text[stop] != "=":
                position = stop + 1
                continue
            value, after = _read_value(text, stop + 1)
            yield text[position:stop].rstrip(_BLANKS), value
            position = after


def _find(text: str, start: int, stops: str) -> int:
    """The first place at or after `start` of one of `stops`, or the end."""
    for position in range(start, len(text)):
        if text[position] in stops:
            return position
    return len(text)


def _read_value(text: str, position: int) -> tuple[str, int]:
    """The value that starts at `position`, and where the next line starts."""
    value: list[str] = []
    keep = 0  # characters before any trailing blanks
    bare = False
    end = len(text)
    while position < end and (text[position] not in _NEWLINES):
        char = text[position]
        if char == "\\":
            bare = True
            position += 1
            if position < end and text[position] not in _NEWLINES:
                value.append(text[position])
            keep = len(value)
        elif not bare and char in "'\"":
            position = _read_quoted(text, position + 1, char, value)
            keep = len(value)
        elif bare or char not in _BLANKS:
            bare = True
            value.append(char)
            if char not in _BLANKS:
                keep = len(value)
        position += 1
    return "".join(value[:keep]), position + 1


def _read_quoted(text: str, position: int, quote: str, value: list[str]) -> int:
    """Append what lies between quotes to `value`; return the position of the closing quote (or the end)."""
    end = len(text)
    while position < end and text[position] != quote:
        char = text[position]
        if char == "\\" and quote == '"':
            position += 1
            if position == end:
                break
            if text[position] in _ESCAPED:
                value.append(text[position])
            elif text[position] != "\n":
                value.extend(("\\", text[position]))
        else:
            value.append(char)
        position += 1
    return position


def read(path: Path) -> dict[str, str]:
    """Read the file at `path` as `parse` does; FileNotFoundError and PermissionError are the caller's."""
    return parse(path.read_bytes().decode(errors="surrogateescape"))  # read_text would change line ends
