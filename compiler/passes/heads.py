"""Attention on heads that lie side by side, without the copies that bring them to an axis of their own and back.

    q, k, v = x -> linear(3*d) -> rearrange("n t (three h e) -> three n h t e", three=3, h=8)
    attention(q, k, v) -> rearrange("n h t e -> n t (h e)")

becomes a `split` of the last axis and one `head_attention`. Queries, keys and values may also come from projections of
their own, `"n t (h e) -> n h t e"`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from dlc.compiler.calls import every_node
from dlc.compiler.graph import Graph, Loop, Node, Value
from dlc.compiler.op import Op
from dlc.compiler.ops.attention import Attention, HeadAttention
from dlc.compiler.ops.joining import Split, Unbind
from dlc.compiler.ops.patterns import Group
from dlc.compiler.ops.rearranging import Rearrange


def join_heads(graph: Graph) -> Graph:
    """The graph with `head_attention` where heads are split, attended to and merged; the copies are left to `prune`.

    A graph that draws random numbers stays as it is: it is written in an opset without such an operator.
    """
    if any(isinstance(node.action, Op) and node.action.random for node in every_node(graph)):
        return graph
    return _joined(graph)


def _joined(graph: Graph) -> Graph:
    return _Joiner(graph).run()


@dataclass
class _Joiner:
    graph: Graph
    nodes: list[Node] = field(default_factory=list[Node])
    producers: dict[Value, Node] = field(default_factory=dict[Value, Node])
    parts: dict[tuple[Value, int], list[Value]] = field(default_factory=dict[tuple[Value, int], list[Value]])

    def run(self) -> Graph:
        uses = Counter(value for node in self.graph.nodes for value in node.values) + Counter(self.graph.outputs)
        for node in self.graph.nodes:
            self.nodes.append(self._merged(node, uses) or _within(node))
            self.producers.update((output, node) for output in node.outputs)
        return replace(self.graph, nodes=self.nodes)

    def _merged(self, node: Node, uses: Mapping[Value, int]) -> Node | None:
        """The attention in place of a node that merges its heads; none for any other node."""
        if _moves(node) != ("merge", None):
            return None
        (result,) = node.values
        attention = self.producers.get(result)
        if attention is None or uses[result] > 1 or not isinstance(attention.action, Attention):
            return None
        op = attention.action
        q, k, v, *masks = attention.values
        if not HeadAttention.writes(op, result.type) or not all(HeadAttention.alike(mask.type) for mask in masks):
            return None
        heads = (q, k, v)
        joined = [self._source(value) for value in heads]
        own, shared = q.type.shape[1], k.type.shape[1]
        if None in joined or not own.is_constant or not shared.is_constant:
            return None
        action = HeadAttention(heads=int(own), shared=int(shared), causal=op.causal, scale=op.scale, window=op.window)
        inputs = (*(self._cut(*each) for each in joined if each), *masks)
        return Node(action, inputs, node.outputs, attention.span)

    def _source(self, heads: Value) -> tuple[Value, int, int] | None:
        """Where heads lie side by side: a value, and which of how many equal parts of its last axis they are."""
        node = self.producers.get(heads)
        if node is None:
            return None
        if _moves(node) == ("split", None):
            (x,) = node.values
            return x, 0, 1
        if isinstance(node.action, Unbind) and node.action.axis == 0:
            (packed,) = node.values
            before = self.producers.get(packed)
            if before is not None and _moves(before) == ("unpack", len(node.outputs)):
                (x,) = before.values
                return x, node.outputs.index(heads), len(node.outputs)
        return None

    def _cut(self, x: Value, part: int, parts: int) -> Value:
        if parts == 1:
            return x
        if (x, parts) not in self.parts:
            split = Split(parts=parts, axis=-1)
            types = split.results(x.type)
            outputs = [Value(type, x.span, f"{x.name}/part_{place}") for place, type in enumerate(types)]
            self.nodes.append(Node(split, (x,), tuple(outputs), x.span))
            self.parts[x, parts] = outputs
        return self.parts[x, parts][part]


def _within(node: Node) -> Node:
    """The node, a loop with what can be joined in its body."""
    if not isinstance(node.action, Loop):
        return node
    return replace(node, action=replace(node.action, body=_joined(node.action.body)))


def _moves(node: Node) -> tuple[str, int | None] | None:
    """What a node does with heads: it splits them off the last axis, unpacks several at once, or merges them."""
    if not isinstance(node.action, Rearrange):
        return None
    (x,) = node.values
    pattern, sizes = node.action.read(x.type)
    match pattern.left, pattern.right:
        case ((n,), (t,), (h, e)), right if right == _apart(n, h, t, e):
            return "split", None
        case ((n,), (t,), (s, h, e)), right if right == ((s,), *_apart(n, h, t, e)):
            return "unpack", sizes[s].constant
        case left, ((n,), (t,), (h, e)) if left == _apart(n, h, t, e):
            return "merge", None
        case _:
            return None


def _apart(*names: str) -> tuple[Group, ...]:
    return tuple((name,) for name in names)
