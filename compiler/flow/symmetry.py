"""What permuting an axis does to every value of a graph.

The things that are permuted, such as the nodes of a graph, may lie along several axes of several inputs, which are then
permuted alike, and ints that name them are renamed. Of each axis of a value it is followed whether it is permuted with
them, stays as it is, or is the same at all positions, so that it may be taken for either.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

from dlc.compiler.dim import Dim
from dlc.compiler.flow.reading import Flow, Group, Name, Near
from dlc.compiler.graph import Call, Graph, Loop, Node, ReadWeight, Value
from dlc.compiler.op import Op
from dlc.compiler.types import Tensor


class Way(Enum):
    """What becomes of the positions along an axis."""

    PERMUTED = "permuted"
    FIXED = "fixed"
    UNIFORM = "uniform"


@dataclass(frozen=True, slots=True)
class Pose:
    """The way of each axis. names: the elements name what is permuted. broken: nothing of the kind can be told."""

    ways: tuple[Way, ...]
    names: bool = False
    broken: bool = False

    @property
    def moves(self) -> bool:
        return self.broken or self.names or Way.PERMUTED in self.ways


@dataclass(frozen=True, eq=False, slots=True)
class Passage:
    """How a value came to be moved: the node, and the operand that moves. inner: within what is called."""

    node: Node
    operand: Value
    inner: Symmetry | None = None


class _Broken(Exception):
    """A permutation of the operands is no permutation of the result."""

    def __init__(self, place: int) -> None:
        super().__init__()
        self.place = place


class Symmetry:
    """The poses of a graph's values where `things` are permuted, in evaluation or in training."""

    def __init__(self, things: Dim, *, training: bool) -> None:
        self._things = things
        self.training = training
        self.differs = False
        self.poses: MutableMapping[Value, Pose] = {}
        self.passages: dict[Value, Passage] = {}
        self._calls: dict[Any, Symmetry] = {}

    def run(self, nodes: Sequence[Node], given: Mapping[Value, Pose]) -> None:
        self.poses.update(given)
        for node in nodes:
            match node.action:
                case Op():
                    self._apply(node, node.action)
                case Call(graph=graph):
                    self._call(node, graph)
                case Loop():
                    self._loop(node, node.action)
                case ReadWeight():
                    for result in node.outputs:
                        self.poses[result] = _resting(result.type)
                case _:
                    self._opaque(node)

    def _set(
        self, node: Node, result: Value, pose: Pose, inner: Symmetry | None = None, place: int | None = None
    ) -> None:
        self.poses[result] = pose
        if pose.moves:
            moving = [each for each in node.values if each in self.poses and self.poses[each].moves]
            cause = node.inputs[place] if place is not None else None
            moving.sort(key=lambda each: (not self.poses[each].broken, each is not cause))
            if moving:
                self.passages[result] = Passage(node, moving[0], inner)

    def _opaque(self, node: Node) -> None:
        broken = any(self.poses[each].moves for each in node.values if each in self.poses)
        for result in node.outputs:
            self._set(node, result, Pose(_resting(result.type).ways, broken=broken))

    def _apply(self, node: Node, op: Op) -> None:
        types = tuple(value.type for value in node.outputs)
        given = op.flow(types, *node.operand_types)
        if type(op).flow_in_training is not Op.flow_in_training:
            trained = op.flow_in_training(types, *node.operand_types)
            self.differs = self.differs or trained != given
            given = trained if self.training else given
        flows = given if isinstance(given, tuple) else (given,) * len(types)
        about = [self.poses[each] if isinstance(each, Value) else None for each in node.inputs]
        for result, flow in zip(node.outputs, flows, strict=True):
            try:
                self._set(node, result, _Turn(flow, about, self._things).pose())
            except _Broken as broken:
                self._set(node, result, Pose(_resting(result.type).ways, broken=True), place=broken.place)

    def _call(self, node: Node, graph: Graph) -> None:
        inputs = list(graph.inputs.values())
        given = tuple(self.poses[each] for each in node.inputs if isinstance(each, Value))
        key = graph, given
        if key not in self._calls:
            inner = Symmetry(self._things, training=self.training)
            inner._calls = self._calls
            inner.run(graph.nodes, dict(zip(inputs, given, strict=True)))
            self._calls[key] = inner
        inner = self._calls[key]
        self.differs = self.differs or inner.differs
        for result, own in zip(node.outputs, graph.outputs, strict=True):
            self._set(node, result, inner.poses[own], inner)

    def _loop(self, node: Node, loop: Loop) -> None:
        names = list(loop.body.inputs.values())
        if loop.indexed:
            self.poses[names.pop(0)] = Pose(())
        for inner, operand in zip(names[: loop.sequences], node.inputs, strict=False):
            assert isinstance(operand, Value)
            pose = self.poses[operand]
            lost = pose.broken or pose.ways[loop.axis] is Way.PERMUTED
            ways = (*pose.ways[: loop.axis], *pose.ways[loop.axis + 1 :])
            self.poses[inner] = Pose(ways, pose.names, lost)
            self.passages[inner] = Passage(node, operand)
        carried = names[loop.sequences :]
        held: list[Pose] = []
        for inner, operand in zip(carried, node.inputs[loop.sequences :], strict=False):
            assert isinstance(operand, Value)
            held.append(self.poses[operand])
            self.passages[inner] = Passage(node, operand)
        while True:
            self.run(loop.body.nodes, dict(zip(carried, held, strict=True)))
            after = [_met(old, self.poses[new]) for old, new in zip(held, loop.body.outputs, strict=False)]
            if after == held:
                break
            held = after
        poses = [*held, *(_stacked(self.poses[each], loop.axis) for each in loop.body.outputs[loop.carried :])]
        for result, own, pose in zip(node.outputs, loop.body.outputs, poses, strict=True):
            self.poses[result] = pose
            if pose.moves:
                self.passages[result] = Passage(node, own)


def _resting(type: Tensor) -> Pose:
    return Pose(tuple(Way.UNIFORM if size == 1 else Way.FIXED for size in type.shape))


def _stacked(pose: Pose, axis: int) -> Pose:
    return Pose((*pose.ways[:axis], Way.FIXED, *pose.ways[axis:]), pose.names, pose.broken)


def _joined(a: Way, b: Way) -> Way | None:
    if a is b or b is Way.UNIFORM:
        return a
    return b if a is Way.UNIFORM else None


def _met(a: Pose, b: Pose) -> Pose:
    """One pose that both are; broken where there is none."""
    ways = [_joined(old, new) for old, new in zip(a.ways, b.ways, strict=True)]
    if a.broken or b.broken or a.names is not b.names or None in ways:
        return Pose(a.ways, broken=True)
    return Pose(tuple(way for way in ways if way is not None), a.names)


class _Turn:
    """One operation on operands that are permuted."""

    def __init__(self, flow: Flow, about: Sequence[Pose | None], things: Dim) -> None:
        self._flow = flow
        self._about = about
        self._things = things
        self._ways: dict[Name, Way] = {}

    def pose(self) -> Pose:
        flow = self._flow
        for place, pose in enumerate(self._about):
            if pose is not None and flow.reads[place] is not None:
                if pose.broken:
                    raise _Broken(place)
                self._operand(place, pose)
        for inner, name in flow.mixes.items():
            self._meet(name, self._ways.get(inner, Way.UNIFORM), 0)
        for name, place in flow.places.items():
            named = self._names(place)
            if named and flow.sizes[name] != self._things:
                raise _Broken(place)
            self._ways[name] = Way.PERMUTED if named else Way.FIXED
        for name in flow.fixed - flow.places.keys():
            self._meet(name, Way.FIXED, 0)
        return Pose(tuple(map(self._axis, flow.result)), self._result_names())

    def _axis(self, group: tuple[Name, ...]) -> Way:
        names = [name for name in group if self._flow.sizes[name] != 1]
        if self._flow.joint:
            square = all(size == self._things for size in self._flow.sizes.values())
            return Way.PERMUTED if square else Way.FIXED
        spread = Way.UNIFORM if self._flow.keeps or not any(self._flow.reads) else Way.FIXED
        ways = {self._ways.get(name, spread) for name in names}
        if Way.PERMUTED in ways:
            if len(names) > 1:
                raise _Broken(0)
            return Way.PERMUTED
        return Way.FIXED if Way.FIXED in ways else Way.UNIFORM

    def _operand(self, place: int, pose: Pose) -> None:
        reads = self._flow.reads[place] or ()
        if pose.names and not self._may_name(place):
            raise _Broken(place)
        for axis, (how, way) in enumerate(zip(reads, pose.ways, strict=True)):
            self._read(place, axis, how, way)

    def _read(self, place: int, axis: int, how: Any, way: Way) -> None:
        flow = self._flow
        if (place, axis) in flow.picks:
            by = flow.picks[place, axis]
            if way is not Way.UNIFORM and (way is Way.PERMUTED) is not self._names(by):
                raise _Broken(place if way is Way.PERMUTED else by)
        elif isinstance(how, Near):
            if way is Way.PERMUTED:
                raise _Broken(place)
            if how.name is not None:
                self._meet(how.name, Way.FIXED, place)
        elif isinstance(how, tuple):
            names = [name for name in cast("Group", how) if flow.sizes[name] != 1]
            if way is Way.PERMUTED and len(names) > 1:
                raise _Broken(place)
            for name in names:
                self._meet(name, way, place)
        elif way is Way.PERMUTED:
            raise _Broken(place)

    def _meet(self, name: Name, way: Way, place: int) -> None:
        met = _joined(self._ways.get(name, Way.UNIFORM), way)
        if met is None:
            raise _Broken(place)
        self._ways[name] = met

    def _names(self, place: int) -> bool:
        pose = self._about[place]
        return pose is not None and pose.names

    def _may_name(self, place: int) -> bool:
        """Whether an input of names is used as such: to pick, to place, to be compared, or to be passed on."""
        flow = self._flow
        if place in flow.compares:
            return all(map(self._names, flow.compares))
        return flow.keeps or place in flow.picks.values() or place in flow.places.values()

    def _result_names(self) -> bool:
        """Whether the elements of the result are names: where it is made of what is, and of nothing else."""
        flow = self._flow
        if not flow.keeps:
            return False
        moved = [
            place for place, reads in enumerate(flow.reads) if reads is not None and place not in flow.picks.values()
        ]
        named = [self._names(place) for place in moved]
        if any(named) and not all(named):
            raise _Broken(moved[0])
        return any(named)
