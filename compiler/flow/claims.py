"""What `ensure` claims of a value and another that it is computed from, proved or refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dlc.compiler.dim import Dim
from dlc.compiler.flow.analysis import Analysis
from dlc.compiler.flow.dependence import SOURCE, Alternative, Outer, Space, position
from dlc.compiler.flow.inequalities import Contradiction, System, Variable, add, forget, implies, variables
from dlc.compiler.flow.symmetry import Pose, Symmetry, Way
from dlc.compiler.flow.way import Stage, moved_way, single, way
from dlc.compiler.graph import Graph, Value
from dlc.compiler.types import Tensor

_APART = Outer("apart")  # the source's position less the element's


@dataclass(frozen=True)
class Refuted:
    """A claim that could not be proved.

    training: whether it fails in training; evaluation: whether it fails in evaluation. way: how what is forbidden
    travels, from the source on. at: the stage from which on it does, if there is one. reach: the positions from so
    many before to so many behind that the value depends on, where that is known.
    """

    training: bool
    evaluation: bool
    way: Sequence[Stage]
    at: Stage | None
    reach: tuple[Dim, Dim] | None = None


Holds = Callable[[Alternative, int], bool]


@dataclass(frozen=True)
class Between:
    """A claim of y, along its axis `to`, and x, along its axis `of`."""

    y: Value
    to: int
    x: Value
    of: int


def causal(graph: Graph, between: Between) -> Refuted | None:
    """Whether an element of y depends on no later position of x; none where it is proved."""
    return _decide(graph, between, lambda space: lambda each, axis: _bounded(space, each, axis, -1))


def independent(graph: Graph, between: Between) -> Refuted | None:
    """Whether an element of y depends on its own position of x alone; none where it is proved."""

    def holds(space: Space) -> Holds:
        return lambda each, axis: _bounded(space, each, axis, -1) and _bounded(space, each, axis, 1)

    return _decide(graph, between, holds)


def local(graph: Graph, between: Between, reach: Dim) -> Refuted | None:
    """Whether the positions of x that an element of y depends on, and its own, lie within `reach` successive ones."""

    def holds(space: Space) -> Holds:
        def one(each: Alternative, axis: int) -> bool:
            span = _span([each], axis, space)
            return span is not None and (span[0] + span[1] + 1).at_most(reach) is True

        return one

    return _decide(graph, between, holds, reach)


def _decide(graph: Graph, between: Between, rule: Callable[[Space], Holds], reach: Dim | None = None) -> Refuted | None:
    found: list[tuple[bool, Alternative, Holds, tuple[Dim, Dim] | None]] = []
    for training in (False, True):
        analysis = Analysis(between.x, between.of, training=training)
        dependence = analysis.run(graph).get(between.y, [])
        holds = rule(analysis.space)
        span = None if reach is None else _span(dependence, between.to, analysis.space)
        bad = next((each for each in dependence if not holds(each, between.to)), None)
        if bad is None and reach is not None and dependence:  # each by itself, and perhaps not together
            wide = span is None or (span[0] + span[1] + 1).at_most(reach) is not True
            bad = dependence[0] if wide else None
        if bad is not None:
            found.append((training, bad, holds, span))
        if not analysis.differs:
            break
    if not found:
        return None
    training, bad, holds, span = found[0]
    stages = way(between.x, bad)
    unfit = [stage for stage in stages if stage.after is not None and not _fits(stage.after, holds)]
    at = next((stage for stage in unfit if not _single(stage.after)), unfit[0] if unfit else None)
    both = len(found) == 2 or not analysis.differs
    return Refuted(training or both, not training, stages, at, span)


def _fits(each: Alternative, holds: Holds) -> bool:
    """Whether the claim is true along one of the axes."""
    return any(holds(each, axis) for axis in range(len(each.layout)))


def _single(each: Alternative | None) -> bool:
    """Whether each element depends on one position at most: such a stage only moves what it is given."""
    return each is not None and single(each)


def _bounded(space: Space, each: Alternative, axis: int, sign: int) -> bool:
    """Whether the source's position is at most the element's (-1), or at least (1)."""
    own = position(each.layout, axis)
    if own is None:
        return False
    terms: dict[Variable, int] = {variable: sign * factor for variable, factor in own.items()}
    terms[SOURCE] = -sign
    return implies(each.system, terms, 0, space.of(each.layout))


def _span(dependence: Sequence[Alternative], axis: int, space: Space) -> tuple[Dim, Dim] | None:
    """How far before and behind the element's position those of the source reach; none where that is open."""
    before = behind = Dim.of(0)
    for each in dependence:
        own = position(each.layout, axis)
        if own is None:
            return None
        try:
            low, high = _apart(each, own, space)
        except Contradiction:
            continue
        if low is None or high is None:
            return None
        before, behind = Dim.maximum(before, low), Dim.maximum(behind, high)
    return before, behind


def _apart(each: Alternative, own: Mapping[Variable, int], space: Space) -> tuple[Dim | None, Dim | None]:
    system: System = dict(each.system)
    apart: dict[Variable, int] = {_APART: 1, SOURCE: -1, **own}
    add(system, apart, 0)
    add(system, {variable: -factor for variable, factor in apart.items()}, 0)
    gone = [variable for variable in variables(system) if variable is not _APART]
    left = forget(system, sorted(gone, key=repr), space.of(each.layout))
    return left.get(frozenset({(_APART, -1)})), left.get(frozenset({(_APART, 1)}))


# --- permutations -------------------------------------------------------------------------------------------------


def equivariant(
    graph: Graph, things: Dim, given: Mapping[Value, Pose], y: Value, axes: Sequence[int]
) -> Refuted | None:
    """Whether y is permuted along these axes as the inputs are that `given` says are permuted."""
    found: list[tuple[bool, Symmetry]] = []
    for training in (False, True):
        symmetry = Symmetry(things, training=training)
        symmetry.run(graph.nodes, given)
        if not _permuted(symmetry.poses[y], axes):
            found.append((training, symmetry))
        if not symmetry.differs:
            break
    if not found:
        return None
    training, symmetry = found[0]
    stages = moved_way(symmetry, y)
    at = next((stage for stage in stages if stage.broken), stages[-1] if stages else None)
    return Refuted(training or len(found) == 2 or not symmetry.differs, not training, stages, at)


def _permuted(pose: Pose, axes: Sequence[int]) -> bool:
    if pose.broken or pose.names:
        return False
    return all(way is Way.UNIFORM or (way is Way.PERMUTED) is (axis in axes) for axis, way in enumerate(pose.ways))


def resting(type: Tensor) -> Pose:
    """A value that no permutation reaches."""
    return Pose((Way.FIXED,) * type.rank)
