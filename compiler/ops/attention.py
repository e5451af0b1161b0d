"""Attention: each query's mean of the values, weighted by how well their keys match."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dlc.compiler.dim import Dim
from dlc.compiler.flow.reading import WHOLE, Flow, Gate, Group, Name, Near, Read
from dlc.compiler.kept import Casting, Kept, Tape
from dlc.compiler.onnx.opset import SINCE
from dlc.compiler.op import Example, Op, Positive, PositiveFloat, Probability
from dlc.compiler.ops.attending import Standard, visible
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import (
    DType,
    ShapeError,
    Tensor,
    TypeMismatch,
    agree,
    broadcast,
    product,
    require_axes,
    require_float,
    require_rank,
)

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue


class Attention(Op):
    """Scaled dot-product attention on [N, heads, T, e]. Vaswani et al., 2017.

    Where `mask` is bool, true marks what may be seen; where it is float, it is added to the scores. `causal` lets
    position t see no position after t, `window` none that is `window` or more positions away. Keys and values may
    have fewer heads than queries, if their number divides that of the queries: each serves several. `scale` is
    1/sqrt(e) when it is not given. `dropout` drops weights in training.
    """

    causal: bool = False
    scale: PositiveFloat | None = None
    dropout: Probability = 0.0
    window: Positive | None = None
    examples = (
        Example("N 2 T 4", "N 2 T 4", "N 2 T 4", causal=True, gives="N 2 T 4"),
        Example("N 2 T 4", "N 2 S 4", "N 2 S 3", gives="N 2 T 3"),
        Example("N 2 T 4", "N 2 S 4", "N 2 S 3", causal=True, scale=0.2, gives="N 2 T 3"),
        Example("N 4 T 4", "N 2 T 4", "N 2 T 4", causal=True, gives="N 4 T 4"),
        Example("N 4 T 4", "N 1 T 4", "N 1 T 4", "bool T T", gives="N 4 T 4"),
        Example("N 2 T 4", "N 2 S 4", "N 2 S 4", "bool N 1 T S", gives="N 2 T 4"),
        Example("N 2 T 4", "N 2 T 4", "N 2 T 4", "2 T T", causal=True, gives="N 2 T 4"),
        Example("N 2 T 4", "N 2 T 4", "N 2 T 4", causal=True, window=2, gives="N 2 T 4"),
        Example("N 2 T 4", "N 2 T 4", "N 2 T 4", "bool T T", window=2, gives="N 2 T 4"),
        Example("N T 4", "N T 4", "N T 4", causal=True, dropout=0.1, gives="N T 4"),
    )
    casting = Casting.LOWER

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.dropout:
            object.__setattr__(self, "stateful", True)

    def infer(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        for name, operand in (("q", q), ("k", k), ("v", v)):
            require_float(name, operand)
            require_axes(name, operand, 2)
            if operand.rank != q.rank:
                raise ShapeError(
                    name, f"{name} has {operand.rank} axes, and q has {q.rank}", label=str(operand), against="q"
                )
            if operand.dtype is not q.dtype:
                raise TypeMismatch(name, f"{name} is {operand.dtype.value}, and q is {q.dtype.value}", against="q")
        _require_equal("k", "width", k.shape[-1], "q", q.shape[-1])
        _require_equal("v", "length", v.shape[-2], "k", k.shape[-2])
        if self.scale is None and q.shape[-1] == 0:
            raise ShapeError("q", "the heads have no width, so there is no scale", label=str(q))
        self._require_heads(q, k, v)
        if mask is not None:
            self._require_mask(q, k, mask)
        return q.reshaped((*q.shape[:-1], v.shape[-1]))

    def flow(self, to: tuple[Tensor, ...], q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Flow:
        result, query, last = to[0], q.rank - 2, q.rank - 1
        groups: list[Group] = [(axis,) for axis in range(q.rank)]
        sizes: dict[Name, Dim] = {**dict(enumerate(result.shape)), "key": k.shape[-2], "width": q.shape[-1]}
        before: list[Group] = [(axis,) for axis in range(query)]
        if q.rank > 3 and q.shape[-3] != k.shape[-3]:
            groups[-3], before[-1] = ("served", "share"), ("served",)
            sizes |= {"served": k.shape[-3], "share": q.shape[-3] // k.shape[-3]}
        near = self.window - 1 if self.window is not None else None
        keys: Read = ("key",)
        if self.causal or near is not None:
            keys = Near(query, None if near is None else -near, 0 if self.causal else near)
        masks: list[Read] | None = None
        gates: tuple[Gate, ...] = ()
        if mask is not None:
            across = [groups[query], keys]
            places = [*groups[:query], *across][q.rank - mask.rank :]
            whole = (*q.shape[:-1], k.shape[-2])[q.rank - mask.rank :]
            masks = [
                () if own == 1 and due != 1 else at for own, due, at in zip(mask.shape, whole, places, strict=True)
            ]
            hidden = False if mask.dtype is DType.BOOL else -math.inf
            gates = (Gate(1, 3, hidden), Gate(2, 3, hidden))
        reads = ((*groups[:last], ("width",)), (*before, keys, ("width",)), (*before, keys, (last,)))
        given = None if masks is None else tuple(masks)
        return Flow((*reads, given)[: 3 + (mask is not None)], tuple(groups), sizes, gates)

    def _require_heads(self, q: Tensor, k: Tensor, v: Tensor) -> None:
        for axis in range(q.rank - 2):
            heads = axis == q.rank - 3 and axis > 0
            what = "number of heads" if heads else f"size of axis {axis}"
            _require_equal("v", what, v.shape[axis], "k", k.shape[axis])
            if heads and not agree(q.shape[axis], k.shape[axis]) and q.shape[axis].divide(k.shape[axis]) is None:
                raise ShapeError(
                    "k",
                    f"{k.shape[axis]} heads of keys cannot serve {q.shape[axis]} heads of queries",
                    label=str(k),
                    help="the number of key heads must divide that of the queries",
                    against="q",
                    sizes=(k.shape[axis], q.shape[axis]),
                )
            if not heads:
                _require_equal("k", what, k.shape[axis], "q", q.shape[axis])

    def _require_mask(self, q: Tensor, k: Tensor, mask: Tensor) -> None:
        if mask.dtype is not DType.BOOL and mask.dtype is not q.dtype:
            raise TypeMismatch(
                "mask",
                f"mask is {mask.dtype.value}, and must be bool (what may be seen) or {q.dtype.value} (what is added)",
                label=str(mask),
            )
        scores = q.reshaped((*q.shape[:-1], k.shape[-2]))
        try:
            fits = broadcast(mask, scores) == scores.shape
        except ShapeError:
            fits = False
        if not fits:
            of_keys = mask.rank == 2 and agree(mask.shape[0], q.shape[0]) and agree(mask.shape[1], k.shape[-2])
            raise ShapeError(
                "mask",
                "the mask does not fit the scores",
                label=f"{mask}, and the scores are {scores}",
                help="for all heads and queries alike, give it their axes: [:, none, none]" if of_keys else None,
                against="q",
            )

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], q: Tensor, k: Tensor, v: Tensor, *masks: Tensor | None) -> Kept:
        """With PyTorch's kernels that never hold the scores, where it has them, or else with the scores.

        What its kernels on processors cannot do: drop, and learn masks. None takes other than four axes.
        """
        scores = q.reshaped((*q.shape[:-1], k.shape[-2]))
        window = (scores,) if self.window is not None else ()
        if q.rank == 4 and not any(tape.needs[3:]) and (tape.accelerator or not self.dropout):
            rows = Tensor(DType.FLOAT, q.shape[:-1])
            return Kept(tuple(range(3 + len(masks))), (0,), made=(rows, *window), laid=(0, 2, 1, 3))
        held = [scores] * (3 if self.dropout else 1)
        return Kept((2,), made=(q, k, *held), scratch=(scores,))

    def macs(self, q: Tensor, k: Tensor, v: Tensor, *_: Any) -> Dim:
        return product(q.shape[:-1]) * k.shape[-2] * (q.shape[-1] + v.shape[-1])

    def torch(self, t: TorchContext, q: Code, k: Code, v: Code, mask: Code | None = None) -> Code:
        query, key = t.inputs[0], t.inputs[1]
        named: dict[str, Any] = {}
        hiding = self.hiding(t, mask)
        if hiding is not None:
            named["attn_mask"] = hiding
        if self.dropout:
            named["dropout_p"] = Code(f"{self.dropout!r} if {t.training} else 0.0")
        if self.causal and "attn_mask" not in named:
            named["is_causal"] = True
        if self.scale is not None:
            named["scale"] = self.scale
        if query.rank > 3 and query.shape[-3] != key.shape[-3]:
            named["enable_gqa"] = True
        return t.call("F.scaled_dot_product_attention", q, k, v, **named)

    def hiding(self, t: TorchContext, mask: Code | None) -> Code | None:
        """The mask with what positions hide; none where nothing is hidden but later keys, for which there is a flag."""
        if (not self.causal or mask is None) and self.window is None:
            return mask
        length, keys = t.inputs[0].shape[-2], t.inputs[1].shape[-2]
        band = t.factory("torch.ones", length, keys, dtype=DType.BOOL)
        band = t.method(band, "tril", *([] if self.causal else [(self.window or 1) - 1]))
        if self.window is not None:
            band = t.method(band, "triu", 1 - self.window)
        if mask is None:
            return band
        if t.inputs[3].dtype is DType.BOOL:
            return t.binary("&", mask, band)
        return t.call("torch.where", band, mask, Code('float("-inf")'))

    def onnx(
        self, g: OnnxContext, q: OnnxValue, k: OnnxValue, v: OnnxValue, mask: OnnxValue | None = None
    ) -> OnnxValue:
        query, key, value = g.inputs[:3]
        dtype = query.dtype
        if self._is_standard(g):
            of_mask = g.inputs[3] if mask is not None else None
            standard = Standard(
                query,
                key,
                value,
                g.outputs[0],
                self.causal,
                self.factor(query),
                mask=of_mask,
                window=self.window,
            )
            return standard.write(g, q, k, v, mask)
        scores = query.reshaped((*query.shape[:-1], key.shape[-2]))
        grouped = query.rank > 3 and query.shape[-3] != key.shape[-3]

        def split(type: Tensor) -> OnnxValue:
            """The shape of queries or scores with the heads that share a key head on an axis of their own."""
            shared = key.shape[-3]
            return g.sizes((*type.shape[:-3], shared, type.shape[-3] // shared, *type.shape[-2:]))

        if grouped:
            q = g.op("Reshape", q, split(query))
            k, v = (g.op("Unsqueeze", each, g.ints([-3])) for each in (k, v))
        rank = query.rank + grouped
        turned = [*range(rank - 2), rank - 1, rank - 2]
        s = g.op("MatMul", g.op("Mul", q, self._scale(g)), g.op("Transpose", k, perm=turned))
        if grouped:
            s = g.op("Reshape", s, g.sizes(scores.shape))
        s = self._masked(g, s, mask)
        weights = g.op("Softmax", s, axis=-1)
        if mask is not None or (self.window is not None and not agree(query.shape[-2], key.shape[-2])):
            # PyTorch gives 0, not NaN, to a query that may see nothing
            blind = g.op("Equal", g.op("ReduceMax", s, g.ints([-1]), keepdims=1), g.constant(-math.inf, dtype))
            weights = g.op("Where", blind, g.constant(0.0, dtype), weights)
        if grouped:
            weights = g.op("Reshape", weights, split(scores))
        result = g.op("MatMul", weights, v)
        return g.op("Reshape", result, g.sizes((*query.shape[:-1], value.shape[-1]))) if grouped else result

    def _is_standard(self, g: OnnxContext) -> bool:
        """Whether the standard's operator computes it."""
        query = g.inputs[0]
        known = self.scale is not None or query.shape[-1].is_constant
        return g.newest >= SINCE["Attention"] and query.dtype is DType.FLOAT and known and query.rank == 4

    def factor(self, query: Tensor) -> float:
        """What scores are multiplied by, for heads of a known width."""
        return self.scale if self.scale is not None else 1 / math.sqrt(int(query.shape[-1]))

    def _scale(self, g: OnnxContext) -> OnnxValue:
        query = g.inputs[0]
        if self.scale is not None:
            return g.constant(self.scale, query.dtype)
        width = query.shape[-1]
        if width.is_constant:
            return g.constant(1 / math.sqrt(int(width)), query.dtype)
        return g.op("Reciprocal", g.op("Sqrt", g.cast(g.size(width), query.dtype)))

    def _masked(self, g: OnnxContext, scores: OnnxValue, mask: OnnxValue | None) -> OnnxValue:
        query, key = g.inputs[:2]
        hidden = g.constant(-math.inf, query.dtype)
        if mask is not None:
            given = g.inputs[3].dtype is DType.BOOL
            scores = g.op("Where", mask, scores, hidden) if given else g.op("Add", scores, mask)
        near = visible(g, query.shape[-2], key.shape[-2], self.causal, self.window)
        return scores if near is None else g.op("Where", near, scores, hidden)


class HeadAttention(Op):
    """Attention on heads that lie side by side in the last axis: [N, T, heads*e] for [N, S, shared*e] twice.

    A mask is the same for all heads. It is made of `attention` between heads split and merged, and computes the same
    without copies in between.
    """

    hidden = True
    heads: Positive
    shared: Positive
    causal: bool = False
    scale: PositiveFloat | None = None
    window: Positive | None = None
    examples = (
        Example("N T 8", "N T 8", "N T 8", heads=2, shared=2, causal=True, gives="N T 8"),
        Example("N T 8", "N S 8", "N S 6", heads=2, shared=2, gives="N T 6"),
        Example("N T 8", "N T 4", "N T 4", heads=4, shared=2, causal=True, scale=0.3, gives="N T 8"),
        Example("N T 8", "N S 8", "N S 6", "bool N 1 1 S", heads=2, shared=2, gives="N T 6"),
        Example("N T 8", "N T 8", "N T 8", "T T", heads=2, shared=2, causal=True, window=2, gives="N T 8"),
    )
    casting = Casting.LOWER

    @staticmethod
    def writes(op: Attention, result: Tensor) -> bool:
        """Whether the standard's operator computes this attention, once its heads are static."""
        return result.dtype is DType.FLOAT and (op.scale is not None or result.shape[-1].is_constant)

    @staticmethod
    def alike(mask: Tensor) -> bool:
        """Whether a mask is the same for all heads."""
        return mask.rank < 3 or mask.shape[-3] == 1

    def infer(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is not None and not self.alike(mask):
            raise ShapeError("mask", "each head has a mask of its own", label=str(mask))
        return self._join(self._attention.infer(*self._apart(q, k, v), mask))

    def flow(self, to: tuple[Tensor, ...], q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Flow:
        """Each position from all that its heads see, all heads taken together."""
        widths: dict[Name, Dim] = {"query": q.shape[-1], "key": k.shape[-2], "width": k.shape[-1], "value": v.shape[-1]}
        keys: Read = ("key",)
        if self.causal or self.window is not None:
            away = None if self.window is None else self.window - 1
            keys = Near(1, None if away is None else -away, 0 if self.causal else away)
        reads = (((0,), (1,), ("query",)), ((0,), keys, ("width",)), ((0,), keys, ("value",)))
        given = () if mask is None else ((WHOLE,) * mask.rank,)
        return Flow((*reads, *given), ((0,), (1,), (2,)), {**dict(enumerate(to[0].shape)), **widths})

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], q: Tensor, k: Tensor, v: Tensor, *masks: Tensor | None) -> Kept:
        return replace(self._attention.keeps(tape, to, *self._apart(q, k, v), *masks), laid=None)

    def macs(self, q: Tensor, k: Tensor, v: Tensor, *_: Any) -> Dim:
        return self._attention.macs(*self._apart(q, k, v))

    def torch(self, t: TorchContext, q: Code, k: Code, v: Code, mask: Code | None = None) -> Code:
        apart = [
            t.method(t.method(each, "unflatten", -1, (heads, -1)), "transpose", 1, 2)
            for each, heads in ((q, self.heads), (k, self.shared), (v, self.shared))
        ]
        hiding = self._attention.hiding(t, mask)
        named: dict[str, Any] = {} if hiding is None else {"attn_mask": hiding}
        named |= {"is_causal": True} if self.causal and hiding is None else {}
        named |= {} if self.scale is None else {"scale": self.scale}
        named |= {} if self.heads == self.shared else {"enable_gqa": True}
        result = t.call("F.scaled_dot_product_attention", *apart, **named)
        return t.method(t.method(result, "transpose", 1, 2), "flatten", 2)

    def onnx(
        self, g: OnnxContext, q: OnnxValue, k: OnnxValue, v: OnnxValue, mask: OnnxValue | None = None
    ) -> OnnxValue:
        query, key, value = g.inputs[:3]
        of_mask = g.inputs[3] if mask is not None else None
        scale, heads = self._attention.factor(self._apart(query, key, value)[0]), (self.heads, self.shared)
        standard = Standard(query, key, value, g.outputs[0], self.causal, scale, heads, of_mask, self.window)
        return standard.write(g, q, k, v, mask)

    @property
    def _attention(self) -> Attention:
        return Attention(causal=self.causal, scale=self.scale, window=self.window)

    def _apart(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        def split(name: str, x: Tensor, heads: int) -> Tensor:
            require_rank(name, x, 3)
            width = x.shape[2].divide(heads)
            if width is None:
                raise ShapeError(name, f"{heads} heads do not divide a width of {x.shape[2]}", label=str(x))
            return x.reshaped((x.shape[0], Dim.of(heads), x.shape[1], width))

        return split("q", q, self.heads), split("k", k, self.shared), split("v", v, self.shared)

    @staticmethod
    def _join(x: Tensor) -> Tensor:
        return x.reshaped((x.shape[0], x.shape[2], x.shape[1] * x.shape[3]))


def _require_equal(name: str, what: str, size: Dim, other: str, due: Dim) -> None:
    if not agree(size, due):
        raise ShapeError(
            name,
            f"the {what} of {name} is {size}, and that of {other} is {due}",
            label=f"{size} against {due}",
            against=other,
            sizes=(size, due),
        )
