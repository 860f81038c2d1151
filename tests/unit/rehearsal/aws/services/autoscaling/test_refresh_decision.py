"""What an instance refresh decides: pace, checkpoints, what it waits for, and when it is over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rehearsal.aws.services.autoscaling.refresh import (
    LONGEST,
    PATIENCE,
    Group,
    Instance,
    Preferences,
    Progress,
    Step,
    bounds,
    decide,
)

OLD = Instance("old", updated=False, ready=True)
NEW = Instance("new", updated=True, ready=True)
COLD = replace(NEW, ready=False)
START = Progress(0.0)


def named(*instances: Instance) -> tuple[Instance, ...]:
    return tuple(replace(each, name=f"{each.name}-{at}") for at, each in enumerate(instances))


def step(*instances: Instance, now: float = 0.0, progress: Progress = START, **preferences: object) -> Step:
    chosen = replace(Preferences(0.0), **preferences)  # type: ignore[arg-type]
    desired = sum(not each.standby for each in instances)
    return decide(now, Group(desired, named(*instances)), chosen, progress)


@pytest.mark.parametrize(
    ("desired", "minimum", "maximum", "expected"),
    [
        (100, 95, None, (95, 100)),
        (10, 90, None, (9, 10)),
        (4, 90, None, (3, 4)),  # 4 of 4 would have to be ready: one ends while its replacement starts
        (4, 90, 100, (4, 5)),  # an explicit maximum: launched before
        (4, 100, None, (4, 5)),
        (4, 100, 150, (4, 6)),
        (10, 90, 110, (9, 11)),
        (3, 0, None, (0, 3)),
        (1, 90, None, (0, 1)),
        (1, 100, 110, (1, 2)),
    ],
)
def test_percentages_become_numbers(
    desired: int, minimum: int, maximum: int | None, expected: tuple[int, int]
) -> None:
    assert bounds(desired, Preferences(0.0, minimum, maximum)) == expected


def simulate(size: int, **preferences: object) -> list[tuple[int, int, int]]:
    """Run a refresh whose instances take two steps to be ready. Return ready, all, updated of each step."""
    chosen = replace(Preferences(0.0), **preferences)  # type: ignore[arg-type]
    ages: dict[str, int | None] = {f"old-{number}": None for number in range(size)}
    progress, history, now = START, [], 0.0
    for turn in range(400):
        seen = tuple(
            Instance(name, updated=age is not None, ready=age is None or age >= 2)
            for name, age in ages.items()
        )
        taken = decide(now, Group(size, seen), chosen, progress)
        progress = taken.progress
        history.append((sum(each.ready for each in seen), len(seen), progress.updated))
        if taken.done:
            return history
        ages = {name: None if age is None else age + 1 for name, age in ages.items() if name not in taken.end}
        ages |= {f"new-{turn}-{number}": 0 for number in range(size + taken.surplus - len(ages))}
        now += 10.0
    raise AssertionError(f"It did not end: {history[-5:]}")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10])
@pytest.mark.parametrize("minimum", [0, 50, 90, 100])
@pytest.mark.parametrize("maximum", [None, 100, 150, 200])
def test_a_refresh_replaces_all_within_its_bounds(size: int, minimum: int, maximum: int | None) -> None:
    if maximum is not None and maximum - minimum > 100:
        return
    lowest, highest = bounds(size, Preferences(0.0, minimum, maximum))
    history = simulate(size, minimum=minimum, maximum=maximum)
    assert min(ready for ready, _, _ in history) >= lowest
    assert max(present for _, present, _ in history) <= max(size, highest)
    assert history[-1] == (size, size, size)


def test_a_larger_range_replaces_more_at_once() -> None:
    assert len(simulate(10, minimum=50)) < len(simulate(10, minimum=90))
    assert len(simulate(10, minimum=90, maximum=150)) < len(simulate(10, minimum=90))


@pytest.mark.parametrize("minimum", [0, 80, 100])
def test_no_more_are_new_than_the_next_checkpoint_asks_for(minimum: int) -> None:
    history = simulate(10, minimum=minimum, checkpoints=(20, 50, 100), checkpoint_delay=100.0)
    waits = [history.count(each) for each in ((10, 10, 2), (10, 10, 5))]
    assert all(wait >= 10 for wait in waits), "the delay is ten steps"
    assert [updated for _, _, updated in history] == sorted(updated for _, _, updated in history)


def test_the_last_checkpoint_ends_the_refresh() -> None:
    assert simulate(10, checkpoints=(30,))[-1] == (10, 10, 3)


def test_a_checkpoint_that_is_overtaken_is_skipped() -> None:
    taken = step(NEW, OLD, checkpoints=(10, 40, 100))
    assert taken.progress.passed == 40
    assert taken.reason == "It waits after the checkpoint at 40 percent."
    assert taken.progress.paused_until == 3600.0


def test_progress_is_what_is_ready() -> None:
    taken = step(NEW, COLD, OLD, OLD)
    assert (taken.progress.percent, taken.progress.to_update) == (25, 3)


def test_an_instance_that_is_not_ready_ends_first() -> None:
    assert step(OLD, replace(OLD, ready=False), minimum=100).end == ("old-1",)


@pytest.mark.parametrize(
    ("aside", "preference"),
    [(replace(OLD, protected=True), "protected"), (replace(OLD, standby=True), "standby")],
)
def test_a_refresh_waits_an_hour_for_what_it_may_not_replace(aside: Instance, preference: str) -> None:
    waiting = step(NEW, aside, now=10.0)
    assert (waiting.end, waiting.done) == ((), False)
    assert "old-1" in waiting.reason
    later = step(NEW, aside, now=9.0 + PATIENCE, progress=waiting.progress)
    assert not later.failed
    assert step(NEW, aside, now=10.0 + PATIENCE, progress=later.progress).failed
    freed = step(NEW, replace(aside, protected=False, standby=False), now=50.0, progress=waiting.progress)
    assert freed.progress.stuck_since is None
    ignoring = replace(Preferences(0.0), **{preference: "Ignore"})  # type: ignore[arg-type]
    desired = 1 if aside.standby else 2
    assert decide(0.0, Group(desired, named(NEW, aside)), ignoring, START).done


def test_protected_instances_can_be_replaced_and_those_on_standby_terminated() -> None:
    assert step(replace(OLD, protected=True), protected="Refresh").end == ("old-0",)
    taken = step(NEW, replace(OLD, standby=True), standby="Terminate")
    assert (taken.end, taken.done) == (("old-1",), False)


def test_replacements_that_fail_for_an_hour_fail_the_refresh() -> None:
    group = Group(2, named(COLD, OLD), "The new instance is unhealthy.")
    first = decide(0.0, group, Preferences(0.0), START)
    assert first.progress.stuck_since == 0.0
    quiet = decide(60.0, replace(group, trouble=""), Preferences(0.0), first.progress)
    assert quiet.progress.stuck_since == 0.0, "a launch between two failures is no progress"
    assert decide(PATIENCE, group, Preferences(0.0), quiet.progress).failed
    better = decide(90.0, Group(2, named(NEW, OLD)), Preferences(0.0), quiet.progress)
    assert better.progress.stuck_since is None


def test_no_refresh_goes_on_for_more_than_14_days() -> None:
    assert step(COLD, now=LONGEST).failed


def test_a_group_without_instances_is_refreshed_at_once() -> None:
    assert step().done
