"""What `make security` prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tools.security import cis, exposure, lynis


@dataclass(frozen=True)
class Findings:
    """What was found on one machine of the image."""

    image: str
    waivers: Mapping[str, Mapping[str, str]]
    """Reasons, by tool (`lynis`, `debian_cis`) and test."""
    scores: Mapping[str, float]
    """Exposure of services."""
    lynis_version: str
    plain: lynis.Result
    """Without waivers."""
    waived: lynis.Result
    """With waivers."""
    shared: Sequence[str]
    """Kernel settings that the image writes as Lynis wants them, and the machine cannot have."""
    cis: cis.Result | None
    """None if debian-cis was not run."""


def open_points(found: Findings) -> list[str]:
    """What has to be done: a sentence each."""
    points = [
        f"{unit} has an exposure of {score}, above {exposure.LIMITS.get(unit, exposure.LIMIT)}."
        for unit, score in exposure.above(dict(found.scores)).items()
    ]
    if found.waived.index < lynis.TARGET:
        points.append(f"Lynis' index with waivers is {found.waived.index}, below {lynis.TARGET}.")
    points += [f"Lynis, {each.test}: {each.text}" for each in _unwaived(found)]
    points += [
        f"The waiver of {test} waives nothing: remove it."
        for test in lynis.unused(found.waivers["lynis"], found.plain)
    ]
    if found.cis is not None:
        failed = cis.unwaived(found.cis, found.waivers["debian_cis"])
        if found.cis.percent < cis.TARGET:
            points.append(
                f"debian-cis level {cis.LEVEL} passes {found.cis.percent:.0f} %, below {cis.TARGET:.0f} %."
            )
        points += [f"The image fails {name} of debian-cis." for name in failed]
    return points


def text(found: Findings) -> str:
    """The whole report."""
    ours = {unit: score for unit, score in found.scores.items() if exposure.OURS.match(unit)}
    others = {unit: score for unit, score in found.scores.items() if unit not in ours}
    lines = [
        f"Security of the image {found.image}",
        *_section("Exposure of Airkiln's and Airflow's services, 0 to 10", _scores(ours)),
        *_section("Exposure of other services that start at boot", _scores(others)),
        *_lynis(found),
        *_cis(found),
        *_section("Open", open_points(found) or ["Nothing of what was examined."]),
        *_section("Not examined", _not_examined(found)),
    ]
    return "\n".join(lines)


def _not_examined(found: Findings) -> list[str]:
    if found.cis is not None:
        return ["Nothing."]
    return [f"debian-cis: whether {cis.TARGET:.0f} % of its checks of level {cis.LEVEL} pass is not known."]


def _lynis(found: Findings) -> list[str]:
    plain, waived = found.plain, found.waived
    lines = [
        f"{waived.index} of 100 with waivers ({waived.points} of {waived.possible} points), "
        f"target {lynis.TARGET}",
        f"{plain.index} of 100 without ({plain.points} of {plain.possible} points); "
        f"{lynis.with_points(plain, len(found.shared))} on a kernel that has the image's settings",
        f"warnings: {len(plain.warnings)}, suggestions: {len(plain.suggestions)}; "
        f"without a waiver: {len(_unwaived(found))}",
    ]
    return [
        *_section(f"Lynis {found.lynis_version}", lines),
        *_section("Points lost to tests without a waiver", _lost(waived)),
        *_section("Waived", [f"{test:<10} {reason}" for test, reason in found.waivers["lynis"].items()]),
    ]


def _unwaived(found: Findings) -> list[lynis.Finding]:
    return lynis.unwaived(found.waived, found.waivers["lynis"])


def _lost(result: lynis.Result) -> list[str]:
    ordered = sorted(result.lost.items(), key=lambda each: (-each[1], each[0]))
    return [", ".join(f"{test} {points}" for test, points in ordered) or "None."]


def _cis(found: Findings) -> list[str]:
    title = f"debian-cis, level {cis.LEVEL}"
    if found.cis is None:
        return _section(
            title,
            [
                "Not run: it is in no Debian archive. Run it with the folder of a copy, checked by you: "
                f"{cis.VARIABLE}=<folder> make security"
            ],
        )
    waivers = found.waivers["debian_cis"]
    failed = [f"{name}  {waivers.get(name, 'no waiver')}" for name in found.cis.failed]
    return _section(
        title, [f"{found.cis.passed} of {found.cis.run} checks pass: {found.cis.percent:.0f} %", *failed]
    )


def _scores(scores: Mapping[str, float]) -> list[str]:
    return [f"{score:4.1f}  {unit}" for unit, score in sorted(scores.items())]


def _section(title: str, lines: Iterable[str]) -> list[str]:
    return ["", title, *(f"  {line}" for line in lines)]
