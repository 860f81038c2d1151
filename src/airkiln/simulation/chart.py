"""The chart of a simulation, as SVG: a row a policy with its workers over time, before what the tasks would
have kept busy if none had waited. The same bytes from the same figures; text stays text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from xml.sax.saxutils import escape

from airkiln.simulation.history import History, Tasks
from airkiln.simulation.outcomes import OURS, Replay
from airkiln.simulation.settings import Setting

WIDTH, LEFT, RIGHT = 960, 44, 16
"""Pixels: the chart, and what is beside its rows."""
ROW, HEAD, GAP = 84, 20, 12
"""Pixels: a row, the line above it, the space below."""
TITLE, AXIS = 30, 26
COLUMNS = WIDTH - LEFT - RIGHT
"""Points of a line: one a pixel."""
BEYOND = 1.15
"""Height of a row over that of the most workers."""
OURS_COLOUR, PEERS_COLOUR, DEMAND_COLOUR = "#1f5f8b", "#7d8f9b", "#cbd8e0"
TEXT_COLOUR, LINE_COLOUR = "#333333", "#c4cdd3"
FONT = 'font-family="\'DejaVu Sans\', sans-serif" font-size="11"'
STEPS = (1, 2, 5)
MINUTE, HOUR, DAY = 60, 3600, 86400
TICKS = (
    MINUTE,
    5 * MINUTE,
    15 * MINUTE,
    HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    28 * DAY,
)
"""Seconds between two labels of the time, of which there are at most MOST_TICKS."""
MOST_TICKS = 12


def draw(history: History, settings: Sequence[Setting], replays: Sequence[Replay]) -> str:
    """The whole chart."""
    pools = list(dict.fromkeys(each.outcome.pool for each in replays))
    body: list[str] = []
    top = 0.0
    for pool in pools:
        rows = [each for each in replays if each.outcome.pool == pool]
        shape = next(setting.shapes[pool] for setting in settings if pool in setting.shapes)
        panel = _Panel(history.of(shape.pool.queues), shape.pool.slots, rows)
        body += panel.draw(pool, top)
        top += panel.height
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top:g}" '
        f'viewBox="0 0 {WIDTH} {top:g}" {FONT} fill="{TEXT_COLOUR}">'
    )
    return "\n".join([head, f'<rect width="{WIDTH}" height="{top:g}" fill="#ffffff"/>', *body, "</svg>", ""])


class _Panel:
    """One pool: its rows share both axes."""

    def __init__(self, tasks: Tasks, slots: int, rows: Sequence[Replay]) -> None:
        self._rows = rows
        self._begin = rows[0].changes[0][0]
        self._end = max(each.end for each in rows)
        self._demand = [-(-count // slots) for count in busiest(tasks, self._begin, self._end, COLUMNS)]
        self._most = max([each.outcome.workers_max for each in rows] + [1])
        self.height = TITLE + len(rows) * (HEAD + ROW + GAP) + AXIS

    def draw(self, pool: str, top: float) -> Iterator[str]:
        yield _text(
            LEFT, top + 20, f"pool {pool}: workers, and (grey) what its tasks would keep busy", bold=True
        )
        for number, row in enumerate(self._rows):
            yield from self._row(row, top + TITLE + number * (HEAD + ROW + GAP))
        yield from self._time(top + self.height - AXIS - GAP)

    def _row(self, row: Replay, top: float) -> Iterator[str]:
        outcome = row.outcome
        base = top + HEAD + ROW
        colour = OURS_COLOUR if outcome.policy == OURS else PEERS_COLOUR
        yield _text(LEFT, top + 14, f"{outcome.policy} ({outcome.setting})", bold=outcome.policy == OURS)
        said = (
            f"waiting p50 {outcome.wait_p50:g} s, p95 {outcome.wait_p95:g} s, "
            f"longest {outcome.wait_max:g} s; "
            f"{outcome.worker_hours:.0f} worker hours"
        )
        yield _text(WIDTH - RIGHT, top + 14, said, anchor="end")
        area = " ".join(f"H{LEFT + x} V{self._y(count, base):.1f}" for x, count in self._steps())
        yield f'<path d="M{LEFT} {base:g} {area} H{WIDTH - RIGHT} V{base:g} Z" fill="{DEMAND_COLOUR}"/>'
        for count in _levels(self._most):
            y = self._y(count, base)
            yield (
                f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{LINE_COLOUR}" '
                'stroke-width="0.5"/>'
            )
            yield _text(LEFT - 6, y + 4, str(count), anchor="end")
        points = " ".join(f"{x:.1f},{self._y(count, base):.1f}" for x, count in self._line(row))
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'

    def _steps(self) -> Iterator[tuple[int, int]]:
        """What the tasks would keep busy, where it changes; beyond what any policy had it is cut off."""
        before = 0
        for x, count in enumerate(self._demand):
            shown = min(count, round(self._most * BEYOND))
            if shown != before:
                yield x, shown
                before = shown

    def _line(self, row: Replay) -> Iterator[tuple[float, int]]:
        """Steps; where several fall on one pixel, their least and greatest alone."""
        columns: dict[int, list[int]] = {}
        for since, count in row.changes:
            columns.setdefault(round(self._x(since)), []).append(count)
        last = row.changes[0][1]
        for x, counts in columns.items():
            yield x, last
            low, high, last = min(counts), max(counts), counts[-1]
            if len(counts) > 1:
                yield x, low
                yield x, high
            yield x, last
        yield round(self._x(row.end)), last

    def _time(self, y: float) -> Iterator[str]:
        span = self._end - self._begin
        step = next((each for each in TICKS if span / each <= MOST_TICKS), TICKS[-1])
        moment = math.ceil(self._begin / step) * step
        form = "%d %b" if step >= DAY else "%d %b %H:%M"
        while moment <= self._end:
            x = self._x(moment)
            yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y:g}" y2="{y + 4:g}" stroke="{TEXT_COLOUR}"/>'
            label = datetime.fromtimestamp(moment, UTC).strftime(form)
            yield _text(x, y + 17, label, anchor="middle")
            moment += step

    def _x(self, moment: float) -> float:
        return LEFT + (moment - self._begin) / max(self._end - self._begin, 1.0) * (WIDTH - LEFT - RIGHT)

    def _y(self, count: float, base: float) -> float:
        return base - count / (self._most * BEYOND) * ROW


def busiest(tasks: Tasks, begin: float, end: float, columns: int) -> list[int]:
    """The most tasks at a time in each of `columns` equal parts of the time, if none had waited."""
    found = [0] * columns
    scale = columns / max(end - begin, 1.0)
    ends = sorted(map(float.__add__, tasks.queued_at, tasks.seconds))
    at_once = done = column = 0
    for queued_at in tasks.queued_at:
        while done < len(ends) and ends[done] <= queued_at:
            at_once, column = _until(found, at_once, column, int((ends[done] - begin) * scale))
            at_once -= 1
            done += 1
        at_once, column = _until(found, at_once, column, int((queued_at - begin) * scale))
        at_once += 1
        if column < columns:
            found[column] = max(found[column], at_once)
    for ended in ends[done:]:
        at_once, column = _until(found, at_once, column, int((ended - begin) * scale))
        at_once -= 1
    return found


def _until(found: list[int], at_once: int, column: int, reached: int) -> tuple[int, int]:
    """Carry on as many as there are into the parts that begin meanwhile."""
    while column < min(reached, len(found)):
        column += 1
        if column < len(found):
            found[column] = at_once
    return at_once, column


def _levels(most: int) -> Iterable[int]:
    """Round numbers up to `most`, at most four above nought."""
    step = next(unit * 10**power for power in range(10) for unit in STEPS if most / (unit * 10**power) <= 4)
    return range(0, most + 1, step)


def _text(x: float, y: float, text: str, *, anchor: str = "start", bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'
