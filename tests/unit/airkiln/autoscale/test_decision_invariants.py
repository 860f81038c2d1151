"""Invariants of the decision over any load, in a world of instances that boot and end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from airkiln.autoscale.decision import SETTLED, not_terminated
from airkiln.autoscale.model import (
    Action,
    Demand,
    Group,
    Instance,
    Note,
    Observation,
    Protect,
    ScaleOut,
    State,
    Terminate,
    Unprotect,
)
from airkiln.pools.model import Pool
from tests.unit.airkiln.autoscale.groups import CYCLE, note, step


@dataclass
class World:
    """A group that does what it is told, workers that boot for a while, and tasks that somebody invented."""

    pool: Pool
    least: int
    most: int
    desired: int
    instances: dict[str, tuple[Instance, float]] = field(default_factory=dict)
    running: dict[str, int] = field(default_factory=dict)
    now: float = 0.0
    born: int = 0
    changes: list[tuple[float, int]] = field(default_factory=list)

    def launch(self) -> None:
        while sum(self.stays(each) for each, _ in self.instances.values()) < self.desired:
            self.born += 1
            new = Instance(f"i-{self.born:04}", f"10.0.{self.born // 250}.{self.born % 250}", "Pending")
            self.instances[new.id] = (new, self.now + 45)

    @staticmethod
    def stays(instance: Instance) -> bool:
        return not instance.lifecycle.startswith("Terminating")

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for name, (each, ready) in list(self.instances.items()):
            if each.lifecycle == "Pending" and self.now >= ready:
                self.instances[name] = (replace(each, lifecycle="InService"), ready)
            if not self.stays(each) and not self.running.get(each.address or ""):
                del self.instances[name]

    def serve(self, tasks: int) -> int:
        """Spread tasks over what serves; returns how many stay queued."""
        self.running = {}
        for each, _ in sorted(self.instances.values(), key=lambda pair: pair[0].id):
            if each.lifecycle == "InService" and tasks > 0 and each.address is not None:
                self.running[each.address] = min(tasks, self.pool.slots)
                tasks -= self.running[each.address]
        return tasks

    def look(self, queued: int, wall: float, cpu: float | None) -> Observation:
        everyone = tuple(each for each, _ in self.instances.values())
        here = Group(self.least, self.most, self.desired, everyone)
        return Observation(self.now, wall, Demand(queued, dict(self.running)), here, cpu)

    def carry_out(self, actions: tuple[Action, ...]) -> None:
        for action in actions:
            match action:
                case ScaleOut():
                    assert action.desired > self.desired, "it never lowers the desired capacity"
                    assert action.desired - self.desired <= self.pool.scale_out_step
                    self.desired = action.desired
                    self.changes.append((self.now, +1))
                case Terminate():
                    for name in action.instances:
                        each, ready = self.instances[name]
                        assert each.lifecycle == "InService"
                        assert not self.running.get(each.address or ""), "it never ends a busy one"
                        self.instances[name] = (replace(each, lifecycle="Terminating:Wait"), ready)
                        self.desired -= 1
                    self.changes.append((self.now, -1))
                case Protect() | Unprotect():
                    for name in action.instances:
                        each, ready = self.instances[name]
                        assert each.lifecycle == "InService"
                        busy = bool(self.running.get(each.address or ""))
                        assert busy == isinstance(action, Protect)
                        self.instances[name] = (replace(each, protected=busy), ready)
        assert self.least <= self.desired <= self.most
        self.launch()


@st.composite
def worlds(draw: st.DrawFn) -> World:
    least = draw(st.integers(0, 4))
    most = draw(st.integers(max(least, 1), 12))
    pool = Pool(
        "default",
        slots=draw(st.integers(1, 6)),
        queues=("default",),
        cooldown=draw(st.sampled_from([0, 10, 60, 130, 300])),
        scale_out_step=draw(st.integers(1, 5)),
    )
    world = World(pool, least, most, draw(st.integers(least, most)))
    world.launch()
    return world


steps = st.lists(
    st.tuples(
        st.integers(0, 60),  # tasks
        st.sampled_from([10.0, 10.0, 10.0, 11.0, 30.0, 61.0, 400.0]),  # seconds since the step before
        st.sampled_from([None, 20.0, 20.0, 97.0]),  # CPU
        st.booleans(),  # whether all is known
        st.sampled_from([0.0, 0.0, -86400.0, 1e6]),  # jump of the wall clock
        st.integers(1, 12),  # times
    ),
    max_size=25,
)


@settings(max_examples=150)
@given(worlds(), steps)
def test_whatever_happens_the_invariants_hold(
    world: World, history: list[tuple[int, float, float | None, bool, float, int]]
) -> None:
    state = State()
    wanted_at: list[tuple[float, int]] = []
    wall = 1.7e9
    for tasks, seconds, cpu, known, jump, times in history:
        for _ in range(times):
            world.pass_time(seconds)
            wall += seconds + jump
            observed = world.look(world.serve(tasks), wall, cpu)
            if not known:
                after, actions = step(world.pool, state, replace(observed, demand=None))
                assert after == state
                assert [type(action) for action in actions] == [Note]
                continue
            state, actions = step(world.pool, state, observed)
            told = note(actions)
            wanted_at.append((world.now, told.wanted))
            before = world.desired
            world.carry_out(actions)
            assert told.capacity == world.desired
            if world.desired < before:
                since = world.now - world.pool.cooldown
                assert all(wanted <= world.desired for at, wanted in wanted_at if at >= since)


@settings(max_examples=60)
@given(worlds(), st.integers(0, 60))
def test_steady_demand_is_followed_and_then_nothing_changes(world: World, tasks: int) -> None:
    state = State()
    for _ in range(200):
        world.pass_time(CYCLE)
        state, actions = step(world.pool, state, world.look(world.serve(tasks), world.now, None))
        world.carry_out(actions)
    wanted = -(-tasks // world.pool.slots)
    assert world.desired == min(max(wanted, world.least), world.most)
    directions = [direction for _, direction in world.changes]
    assert sum(a != b for a, b in pairwise(directions)) <= 1
    assert all(at <= world.pool.cooldown + 12 * CYCLE + 120 for at, _ in world.changes)


@settings(max_examples=60)
@given(worlds(), st.lists(st.integers(0, 60), min_size=100, max_size=300))
def test_after_a_scale_out_nothing_ends_for_a_cool_down(world: World, load: list[int]) -> None:
    state = State()
    for tasks in load:
        world.pass_time(CYCLE)
        state, actions = step(world.pool, state, world.look(world.serve(tasks), world.now, None))
        world.carry_out(actions)
    for (at, direction), (then, following) in pairwise(world.changes):
        if direction > 0 > following:
            assert then - at >= world.pool.cooldown


@settings(max_examples=40)
@given(worlds(), st.integers(1, 60))
def test_when_demand_ends_the_pool_is_back_at_its_minimum(world: World, tasks: int) -> None:
    state = State()
    for _ in range(30):
        world.pass_time(CYCLE)
        state, actions = step(world.pool, state, world.look(world.serve(tasks), world.now, None))
        world.carry_out(actions)
        last = world.now
    while world.desired > world.least:
        world.pass_time(CYCLE)
        assert world.now - last <= max(world.pool.cooldown, SETTLED + 45) + 2 * CYCLE
        state, actions = step(world.pool, state, world.look(world.serve(0), world.now, None))
        world.carry_out(actions)


@settings(max_examples=60)
@given(worlds(), st.integers(0, 30), st.lists(st.integers(0, 12), min_size=60, max_size=120))
def test_whatever_aws_refuses_no_worker_stays_terminated_in_memory_alone(
    world: World, tasks: int, refused: list[int]
) -> None:
    """After a refusal the worker counts as before: it is protected while it has a task, or chosen again."""
    state = State()
    for count in refused:
        world.pass_time(CYCLE)
        observed = world.look(world.serve(tasks), world.now, None)
        state, actions = step(world.pool, state, observed)
        chosen = [one for action in actions if isinstance(action, Terminate) for one in action.instances]
        state = not_terminated(state, chosen[:count])
        assert not set(chosen[:count]) & state.terminated.keys()
        assert set(chosen[count:]) <= state.terminated.keys()
        kept = Terminate(tuple(chosen[count:]))
        world.carry_out(tuple(kept if isinstance(action, Terminate) else action for action in actions))
