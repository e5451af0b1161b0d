"""Attention by the standard's operator (ONNX 23), which onnxruntime computes without intermediate copies.

Where it is causal and long, the queries are taken in eight pieces, of which each sees only the keys up to its own end:
seven sixteenths of all scores are never computed, and what is left stays longer in the caches. At T = 512 to 1024, one
operator for all took 1.2 to 1.5 times as long as four pieces in onnxruntime 1.31, and attention written out 1.5 to 2.2
times; eight take 0.93 to 0.98 of four. What hides later keys is made once for all layers, from the last piece's rows.

With a mask or a window one operator does all, which takes 0.66 to 0.74 of the time of attention written out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlc.compiler.dim import Dim
from dlc.compiler.types import DType, Tensor, agree, product

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue

PIECES = 8
LONG = 256  # positions from which on pieces pay


@dataclass(frozen=True)
class Standard:
    """An attention that the operator computes.

    query, key, value: their types, heads on axis 1 or, with `heads`, side by side in the last axis: queries' and keys'.
    result: the type of what comes out. mask: that of the mask, the same for all heads where they lie side by side.
    window: how many positions away none is seen.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    result: Tensor
    causal: bool
    scale: float
    heads: tuple[int, int] | None = None
    mask: Tensor | None = None
    window: int | None = None

    def write(
        self, g: OnnxContext, q: OnnxValue, k: OnnxValue, v: OnnxValue, mask: OnnxValue | None = None
    ) -> OnnxValue:
        """The nodes. onnxruntime's operator takes nothing empty: there, and where there are no keys, all is 0."""
        open = [size for type in (self.query, self.key, self.value) for size in type.shape if not size.is_constant]
        filled = product(list(dict.fromkeys(open)))

        def some() -> OnnxValue:
            if mask is None and self.window is None:
                return self._some(g, q, k, v)
            return self._masked(g, q, k, v, mask)

        def none() -> OnnxValue:
            return g.op("Expand", g.constant(0.0, self.result.dtype), g.sizes(self.result.shape))

        if Dim.of(1).at_most(filled):
            return some()
        return g.choose(g.op("Greater", g.size(filled), g.constant(0, DType.INT)), some, none, self.result)

    def _some(self, g: OnnxContext, q: OnnxValue, k: OnnxValue, v: OnnxValue) -> OnnxValue:
        def whole() -> OnnxValue:
            return self._operator(g, q, k, v, is_causal=int(self.causal))

        def pieces() -> OnnxValue:
            return self._pieces(g, q, k, v)

        length = self.query.shape[self._axis]
        if not self.causal or not agree(length, self.key.shape[self._axis]) or length.less(LONG):
            return whole()
        if Dim.of(LONG).at_most(length):
            return pieces()
        long = g.op("GreaterOrEqual", g.size(length), g.constant(LONG, DType.INT))
        return g.choose(long, pieces, whole, self.result)

    @property
    def _axis(self) -> int:
        """The axis of the positions."""
        return 2 if self.heads is None else 1

    def _operator(
        self, g: OnnxContext, q: OnnxValue, k: OnnxValue, v: OnnxValue, *mask: OnnxValue, is_causal: int
    ) -> OnnxValue:
        own, shared = self.heads or (None, None)
        return g.op(
            "Attention", q, k, v, *mask, is_causal=is_causal, scale=self.scale, q_num_heads=own, kv_num_heads=shared
        )

    def _masked(self, g: OnnxContext, q: OnnxValue, k: OnnxValue, v: OnnxValue, mask: OnnxValue | None) -> OnnxValue:
        """One operator with all that hides keys as numbers added to the scores, which onnxruntime wants for each query
        and key. A query that may see nothing gets 0, as in PyTorch."""
        queries, keys = self.query.shape[self._axis], self.key.shape[self._axis]
        added, shape = self._added(g, mask), self._added_shape
        whole = (*shape[:-2], queries, keys)
        full = added if shape == whole else g.op("Expand", added, g.sizes(whole))
        result = self._operator(g, q, k, v, full, is_causal=0)
        if mask is None and agree(queries, keys):
            return result
        blind = g.op("Equal", g.op("ReduceMax", added, g.ints([-1]), keepdims=1), self._never(g))
        if self.heads is not None and len(shape) > 2:
            blind = g.op("Squeeze", blind, g.ints([-3]))
        return g.op("Where", blind, g.constant(0.0, self.result.dtype), result)

    @property
    def _added_shape(self) -> tuple[Dim, ...]:
        """The shape of what is added to the scores, whose last axes are 1 where all queries or keys have the same."""
        own = self.mask.shape if self.mask is not None else ()
        shape = (*(Dim.of(1),) * (2 - len(own)), *own)
        if self.causal or self.window is not None:
            return (*shape[:-2], self.query.shape[self._axis], self.key.shape[self._axis])
        return shape

    def _added(self, g: OnnxContext, mask: OnnxValue | None) -> OnnxValue:
        near = visible(g, self.query.shape[self._axis], self.key.shape[self._axis], self.causal, self.window)
        given, zero = mask, g.constant(0.0, self.query.dtype)
        if mask is not None and self.mask is not None and self.mask.dtype is DType.BOOL:
            near, given = mask if near is None else g.op("And", mask, near), zero
        if near is None:
            assert given is not None
            return given
        return g.op("Where", near, zero if given is None else given, self._never(g))

    def _never(self, g: OnnxContext) -> OnnxValue:
        return g.constant(-math.inf, self.query.dtype)

    def _pieces(self, g: OnnxContext, q: OnnxValue, k: OnnxValue, v: OnnxValue) -> OnnxValue:
        """Pieces of one length but for the last, so that few sizes are needed, which cost time at any length."""
        length = self.query.shape[self._axis]
        piece = (length + (PIECES - 1)) // PIECES
        hidden = self._hidden(g, piece)
        results: list[OnnxValue] = []
        queries = g.multi("Split", q, results=PIECES, axis=self._axis, num_outputs=PIECES)
        for number, own in enumerate(queries):
            last = number == PIECES - 1
            end = length if last else piece * (number + 1)
            keys, values = (self._until(g, each, end) for each in (k, v))
            if number == 0:
                results.append(self._operator(g, own, keys, values, is_causal=1))
                continue
            start = piece * (PIECES - 1 - number)
            ends = [length - piece * (PIECES - 1), length] if last else [piece, piece * PIECES]
            later = g.op("Slice", hidden, g.sizes([Dim.of(0), start]), g.sizes(ends), g.ints([0, 1]))
            results.append(self._operator(g, own, keys, values, later, is_causal=0))
        return g.op("Concat", *results, axis=self._axis)

    def _until(self, g: OnnxContext, x: OnnxValue, end: Dim) -> OnnxValue:
        return g.op("Slice", x, g.ints([0]), g.sizes([end]), g.ints([self._axis]))

    def _hidden(self, g: OnnxContext, piece: Dim) -> OnnxValue:
        """What is added to the scores of a last piece of full length, so that its queries see no later key.

        An earlier piece sees as much less as it lies before: its own begins as many columns further on.
        """

        def write() -> OnnxValue:
            start, end, one = g.size(piece * (PIECES - 1)), g.size(piece * PIECES), g.constant(1, DType.INT)
            queries = g.op("Unsqueeze", g.op("Range", start, end, one), g.ints([1]))
            keys = g.op("Range", g.constant(0, DType.INT), end, one)
            zero = g.constant(0.0, self.query.dtype)
            return g.op("Where", g.op("GreaterOrEqual", queries, keys), zero, self._never(g))

        return g.once(f"hidden in pieces of {piece}", write)


def visible(g: OnnxContext, queries: Dim, keys: Dim, causal: bool, window: int | None) -> OnnxValue | None:
    """Which keys a query may see by their positions, [queries, keys]; none where that is all."""
    if not causal and window is None:
        return None

    def write() -> OnnxValue:
        start, one = g.constant(0, DType.INT), g.constant(1, DType.INT)
        rows = g.op("Unsqueeze", g.op("Range", start, g.size(queries), one), g.ints([1]))
        back = g.op("Sub", rows, g.op("Range", start, g.size(keys), one))
        earlier = g.op("GreaterOrEqual", back, start) if causal else None
        if window is None:
            assert earlier is not None
            return earlier
        near = g.op("Less", back if causal else g.op("Abs", back), g.constant(window, DType.INT))
        return near if earlier is None else g.op("And", earlier, near)

    return g.once(f"visible of {queries} and {keys}, {causal}, {window}", write)
