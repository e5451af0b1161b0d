"""Splits products within loops into what depends on the carried values and what does not, so that the rest can leave.

W [x, h] + b is W_x x + b and W_h h: the columns of the matrix are split where the graph runs, and the weight stays
the one that the spec has. Sums are put in the order in which what is known before the turn comes first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from dlc.compiler.calls import every_node
from dlc.compiler.dim import Dim
from dlc.compiler.graph import Graph, Loop, Module, Node, ReadWeight, Value, WeightModule, find_module
from dlc.compiler.naming import Names
from dlc.compiler.op import Op
from dlc.compiler.ops.indexing import Index, Range, SwapLast
from dlc.compiler.ops.joining import Concat
from dlc.compiler.ops.linalg import Matmul
from dlc.compiler.ops.linear import Linear
from dlc.compiler.ops.operators import Add
from dlc.compiler.ops.products import AddMatmul, Affine
from dlc.compiler.passes.turns import Turn, Turns, rewritable
from dlc.compiler.types import DType, Tensor, resolve_axis
from dlc.grammar.source import Span


def separate(graph: Graph) -> Graph:
    """The graph whose loops multiply what they carry apart from what they walk. Left as it is where `hoist` does."""
    if not rewritable(graph) or not any(isinstance(node.action, Loop) for node in graph.nodes):
        return graph
    names = Names(value.name for node in every_node(graph) for value in node.outputs if value.name)
    modules = {**graph.modules, **graph.borrowed}
    return replace(graph, nodes=[_separated(node, modules, names) for node in graph.nodes])


def _separated(node: Node, modules: dict[str, Module], names: Names) -> Node:
    if not isinstance(node.action, Loop):
        return node
    body = node.action.body
    loop = replace(node.action, body=replace(body, nodes=[_separated(each, modules, names) for each in body.nodes]))
    loop = _Separation(loop, modules, names).concatenations()
    loop = _Separation(loop, modules, names).sums()
    return replace(node, action=loop)


@dataclass(frozen=True, slots=True)
class _Product:
    """vector @ matrix + bias, a term of a sum. made: the nodes that prepare the matrix and the bias."""

    vector: Value
    matrix: Value
    bias: Value | None
    made: tuple[Node, ...]


@dataclass(eq=False)
class _Separation:
    loop: Loop
    modules: dict[str, Module]
    names: Names
    turns: Turns = field(init=False)
    producer: dict[Value, Node] = field(init=False)
    uses: Counter[Value] = field(init=False)

    def __post_init__(self) -> None:
        body = self.loop.body
        self.turns = Turns(self.loop, self.modules)
        self.producer = {output: node for node in body.nodes for output in node.outputs}
        self.uses = Counter(value for node in every_node(body) for value in node.values)
        self.uses.update(body.outputs)

    def _with(self, nodes: Iterable[Node]) -> Loop:
        """The loop with other nodes, without those that nobody needs any more."""
        needed = set(self.loop.body.outputs)
        kept: list[Node] = []
        for node in reversed(list(nodes)):
            idle = isinstance(node.action, Op | ReadWeight) and self.turns.moves(node)
            if not idle or not needed.isdisjoint(node.outputs):
                kept.append(node)
                needed.update(node.values)
        return replace(self.loop, body=replace(self.loop.body, nodes=kept[::-1]))

    # --- the layers of a concatenation ---

    def concatenations(self) -> Loop:
        """Each `linear` of a concatenation of both kinds as two products."""
        nodes: list[Node] = []
        for node in self.loop.body.nodes:
            parts = self._parts(node)
            nodes += [node] if parts is None else self._split(node, parts)
        return self._with(nodes)

    def _parts(self, node: Node) -> Sequence[Value] | None:
        """What a `linear` is applied to side by side, if some of it is known before the turn and some is not."""
        if not isinstance(node.action, Linear) or len(node.inputs) != 1:
            return None
        (x,) = node.values
        joined = self.producer.get(x)
        if joined is None or not isinstance(joined.action, Concat):
            return None
        if resolve_axis(joined.action.axis, x.type.rank) != x.type.rank - 1:
            return None
        parts = list(joined.values)
        needs = {self.turns[part] for part in parts}
        leaves = Turn.SLICE not in needs or self.loop.axis < x.type.rank
        return parts if leaves and Turn.STATE in needs and len(needs) > 1 else None

    def _split(self, node: Node, parts: Sequence[Value]) -> Iterator[Node]:
        assert isinstance(node.action, Linear)
        write = _Writer(node.span, [])
        weight = self._weight(write, f"{node.module}.weight")
        bias = self._weight(write, f"{node.module}.bias") if node.action.bias else None
        called = _called(node)
        before: Value | None = None
        for need in (Turn.SLICE, Turn.ANY):
            known = [part for part in parts if self.turns[part] is need]
            if known:
                given = [_joined(write, known), _columns(write, weight, parts, known)]
                term = write.op(Affine(), *given, *([] if bias is None or before is not None else [bias]))
                before = term if before is None else write.op(Add(), before, term)
        assert before is not None
        before.name = self.names.claim(called)
        state = [part for part in parts if self.turns[part] is Turn.STATE]
        matrix = write.op(SwapLast(), _columns(write, weight, parts, state))
        matrix.name = self.names.claim(f"{called}_{self._state(state)}")
        _add_product(write, before, _joined(write, state), matrix, node.outputs[0])
        yield from write.nodes

    def _state(self, parts: Sequence[Value]) -> str:
        """What a matrix for these is called after: the carried value, or else the first one."""
        carried = list(self.loop.body.inputs.values())[int(self.loop.indexed) + self.loop.sequences :]
        own = [name for name, value in zip(self.loop.body.output_names, carried, strict=False) if value in parts]
        return (own or list(self.loop.body.output_names))[0].rpartition("/")[2]

    def _weight(self, write: _Writer, path: str) -> Value:
        module = find_module(self.modules, path)
        assert isinstance(module, WeightModule)
        return write.add(ReadWeight(), (), Tensor(module.weight.dtype, module.weight.shape), path)

    # --- sums ---

    def sums(self) -> Loop:
        """Each sum of terms of both kinds, some of them products, with what is known before the turn first."""
        nodes: list[Node] = []
        for node in self.loop.body.nodes:
            terms = self._terms(node) if self._is_whole(node) else None
            nodes += [node] if terms is None else self._summed(node, *terms)
        return self._with(nodes)

    def _is_sum(self, node: Node) -> bool:
        """Whether a node adds floats of matrices, some of which depend on what is carried."""
        if not isinstance(node.action, Add | AddMatmul):
            return False
        (result,) = node.outputs
        terms = [operand.type.dtype if isinstance(operand, Value) else None for operand in node.inputs]
        floats = all(dtype is DType.FLOAT for dtype in terms)
        return floats and result.type.rank == 2 and self.turns[result] is Turn.STATE

    def _is_whole(self, node: Node) -> bool:
        """Whether a node is a sum that is no term of another."""
        if not self._is_sum(node):
            return False
        (result,) = node.outputs
        users = [user for user in self.loop.body.nodes if result in user.values]
        return not (self.uses[result] == 1 and len(users) == 1 and self._is_term_of(result, users[0]))

    def _is_term_of(self, value: Value, node: Node) -> bool:
        if not self._is_sum(node) or node.outputs[0].type.shape != value.type.shape:
            return False
        return isinstance(node.action, Add) or node.inputs[0] is value

    def _terms(self, node: Node) -> tuple[list[Value], list[_Product], list[Value]] | None:
        """What a sum is made of: what is known before the turn, products with what is not, and the rest."""
        known: list[Value] = []
        products: list[_Product] = []
        others: list[Value] = []
        pending: list[Value] = []

        def enter(each: Node) -> None:
            if isinstance(each.action, AddMatmul):
                c, x, matrix = each.values
                products.append(_Product(x, matrix, None, ()))
                pending.insert(0, c)
            else:
                pending[:0] = each.values

        enter(node)
        while pending:
            value = pending.pop(0)
            inner = self.producer.get(value)
            alone = self.uses[value] == 1 and value.type.shape == node.outputs[0].type.shape
            if self.turns[value] is not Turn.STATE:
                known.append(value)
            elif alone and inner is not None and self._is_sum(inner):
                enter(inner)
            elif alone and inner is not None and (product := self._product(inner)) is not None:
                products.append(product)
            else:
                others.append(value)
        settled = isinstance(node.action, AddMatmul) and len(known) == len(products) == 1 and not others
        walked = any(self.turns[value] is Turn.SLICE for value in known)
        return (known, products, others) if walked and products and not settled else None

    def _product(self, node: Node) -> _Product | None:
        """A product of a row for each example with a matrix that is the same in every turn."""
        match node.action:
            case Linear() as op if len(node.inputs) == 1 and node.outputs[0].type.rank == 2:
                write = _Writer(node.span, [])
                matrix = write.op(SwapLast(), self._weight(write, f"{node.module}.weight"))
                (vector,) = node.values
                matrix.name = self.names.claim(f"{_called(node)}_{self._state([vector])}")
                bias = self._weight(write, f"{node.module}.bias") if op.bias else None
                return _Product(vector, matrix, bias, tuple(write.nodes))
            case Matmul():
                vector, matrix = node.values
                fits = vector.type.rank == matrix.type.rank == 2 and self.turns[matrix] is Turn.ANY
                return _Product(vector, matrix, None, ()) if fits and vector.type.dtype is DType.FLOAT else None
            case _:
                return None

    def _summed(
        self, node: Node, known: Sequence[Value], products: Sequence[_Product], others: Sequence[Value]
    ) -> Iterator[Node]:
        write = _Writer(node.span, [each for product in products for each in product.made])
        known = sorted(known, key=lambda value: -value.type.rank)
        (result,) = node.outputs
        total, *rest = (*known, *(product.bias for product in products if product.bias is not None))
        for value in rest:
            total = write.op(Add(), total, value)
        left = len(products) + len(others)
        for product in products:
            left -= 1
            total = _add_product(write, total, product.vector, product.matrix, None if left else result)
        for value in others:
            left -= 1
            total = write.op(Add(), total, value, result=None if left else result)
        yield from write.nodes


@dataclass(slots=True)
class _Writer:
    """Nodes in the place of one, on its line."""

    span: Span
    nodes: list[Node]

    def add(
        self,
        action: Op | ReadWeight,
        inputs: Sequence[Value],
        type: Tensor,
        module: str | None = None,
        result: Value | None = None,
    ) -> Value:
        made = Value(type, self.span) if result is None else result
        self.nodes.append(Node(action, tuple(inputs), (made,), self.span, module))
        return made

    def op(self, op: Op, *inputs: Value, result: Value | None = None) -> Value:
        return self.add(op, inputs, op.results(*(value.type for value in inputs))[0], result=result)


def _called(node: Node) -> str:
    """What is made of a layer is called after it: by its path in a graph where all values have names."""
    path = str(node.module)
    return path if node.outputs[0].name else path.rpartition(".")[2]


def _add_product(write: _Writer, c: Value, x: Value, matrix: Value, result: Value | None) -> Value:
    """c + x @ matrix."""
    if x.type.rank == 2:
        return write.op(AddMatmul(), c, x, matrix, result=result)
    return write.op(Add(), c, write.op(Matmul(), x, matrix), result=result)


def _joined(write: _Writer, parts: Sequence[Value]) -> Value:
    return parts[0] if len(parts) == 1 else write.op(Concat(axis=parts[0].type.rank - 1), *parts)


def _columns(write: _Writer, weight: Value, parts: Sequence[Value], chosen: Sequence[Value]) -> Value:
    """The columns of a matrix that some of the parts side by side are multiplied with."""
    ranges: list[tuple[Dim, Dim]] = []
    start = Dim.of(0)
    for part in parts:
        stop = start + part.type.shape[-1]
        if part in chosen:
            if ranges and ranges[-1][1] == start:
                ranges[-1] = (ranges[-1][0], stop)
            else:
                ranges.append((start, stop))
        start = stop
    cut = [Range(None if first == 0 else first, None if last == start else last) for first, last in ranges]
    return _joined(write, [write.op(Index(items=(Range(), each)), weight) for each in cut])
