"""Operations by axis patterns: axes reordered, split and merged; reduced; repeated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from dlc.compiler.dim import Dim
from dlc.compiler.flow.reading import Flow, Name
from dlc.compiler.kept import NOTHING, Kept, Tape
from dlc.compiler.op import Example, Named, Op
from dlc.compiler.ops import patterns
from dlc.compiler.ops.patterns import Group, Pattern
from dlc.compiler.ops.shape import reshape_onnx
from dlc.compiler.types import DType, ShapeError, Tensor, require_float, require_number

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue
    from dlc.compiler.torch.context import Code, TorchContext


class Patterned(Op, abstract=True):
    """An operation that a pattern describes; the sizes of names that the shape does not tell are given by name."""

    keywords: ClassVar[str | None] = "sizes"
    pattern: str
    sizes: Named = ()

    def read(self, x: Tensor) -> tuple[Pattern, dict[str, Dim]]:
        pattern = patterns.read(self.pattern, x.rank)
        return pattern, patterns.bind(pattern, x, dict(self.sizes))

    def flow(self, to: tuple[Tensor, ...], x: Tensor) -> Flow:
        pattern, sizes = self.read(x)
        named: dict[Name, Dim] = {**sizes}
        moves = all(name in pattern.after for name in pattern.before)
        return Flow((pattern.left,), pattern.right, named, keeps=moves)


class TorchAxes:
    """Writes the steps of a pattern as a person would: unflatten, permute, flatten, or reshape where these fail."""

    def __init__(self, t: TorchContext, x: Code, sizes: dict[str, Dim]) -> None:
        self._t = t
        self.x = x
        self._sizes = sizes

    def method(self, name: str, *arguments: Any, **named: Any) -> None:
        self.x = self._t.method(self.x, name, *arguments, **named)

    def split(self, groups: Sequence[Group]) -> None:
        """Gives each name of the groups an axis of its own."""
        compound = [axis for axis, group in enumerate(groups) if len(group) != 1]
        if len(compound) == 1 and groups[compound[0]]:
            axis = compound[0]
            self.method("unflatten", axis, tuple(self._sizes[name] for name in groups[axis]))
        elif compound and all(not groups[axis] for axis in compound):
            self.method("squeeze", compound[0] if len(compound) == 1 else tuple(compound))
        elif compound:
            self.method("reshape", *(self._sizes[name] for group in groups for name in group))

    def order(self, before: Sequence[str], after: Sequence[str]) -> None:
        if list(before) != list(after):
            self.method("permute", *(before.index(name) for name in after))

    def merge(self, groups: Sequence[Group]) -> None:
        """Makes one axis of each group."""
        compound = [axis for axis, group in enumerate(groups) if len(group) != 1]
        if len(compound) == 1:
            axis = compound[0]
            if groups[axis]:
                last = axis + len(groups[axis]) - 1
                self.method("flatten", axis, *(() if axis == len(groups) - 1 else (last,)))
            else:
                self.method("unsqueeze", axis)
        elif compound:
            self.method("reshape", *patterns.shape(groups, self._sizes))


class OnnxAxes:
    """The same steps as nodes."""

    def __init__(self, g: OnnxContext, x: OnnxValue, sizes: dict[str, Dim]) -> None:
        self.g = g
        self.x = x
        self._sizes = sizes

    def split(self, groups: Sequence[Group]) -> None:
        if any(len(group) != 1 for group in groups):
            self.x = reshape_onnx(self.g, self.x, [self._sizes[name] for group in groups for name in group])

    def order(self, before: Sequence[str], after: Sequence[str]) -> None:
        if list(before) != list(after):
            self.x = self.g.op("Transpose", self.x, perm=[before.index(name) for name in after])

    def merge(self, groups: Sequence[Group]) -> None:
        if any(len(group) != 1 for group in groups):
            self.x = reshape_onnx(self.g, self.x, patterns.shape(groups, self._sizes))


class Rearrange(Patterned):
    """Axes reordered, split and merged: `"n t (h e) -> n h t e"` with h=8 splits the last axis and moves its part h."""

    examples = (
        Example("N T 24", pattern="n t (h e) -> n h t e", h=8, gives="N 8 T 3"),
        Example("N 8 T 3", pattern="n h t e -> n t (h e)", gives="N T 24"),
        Example("N T 24", pattern="n t (three h e) -> three n h t e", three=3, h=2, gives="3 N 2 T 4"),
        Example("N 3 2*H 2*W", pattern="n c (h p) (w q) -> n (h w) (c p q)", p=2, q=2, gives="N H*W 12"),
        Example("N T C", pattern="n t c -> n c t", gives="N C T"),
        Example("N T C", pattern="... a b -> ... b a", gives="N C T"),
        Example("N 1 T", pattern="n 1 t -> t n", gives="T N"),
        Example("N T", pattern="n t -> n 1 t 1", gives="N 1 T 1"),
        Example("int N T < V", pattern="n t -> (n t)", gives="int N*T < V"),
        Example("N T", pattern="n t -> n t", gives="N T"),
    )
    kept = NOTHING
    view = True

    def infer(self, x: Tensor) -> Tensor:
        pattern, sizes = self.read(x)
        lost = [name for name in pattern.before if name not in pattern.after]
        new = [name for name in pattern.after if name not in pattern.before]
        if lost:
            raise ShapeError(
                "pattern", f"`{lost[0]}` is lost on the right of the pattern", help="reduce takes axes away"
            )
        if new:
            raise ShapeError("pattern", f"`{new[0]}` is new on the right of the pattern", help="repeat_axis adds axes")
        return x.reshaped(patterns.shape(pattern.right, sizes))

    def torch(self, t: TorchContext, x: Code) -> Code:
        pattern, sizes = self.read(t.inputs[0])
        axes = TorchAxes(t, x, sizes)
        if pattern.before == pattern.after and pattern.left != pattern.right:
            if all(len(group) == 1 for group in pattern.right):
                axes.split(pattern.left)
            elif all(len(group) == 1 for group in pattern.left):
                axes.merge(pattern.right)
            else:
                axes.method("reshape", *t.outputs[0].shape)
            return axes.x
        axes.split(pattern.left)
        axes.order(pattern.before, pattern.after)
        axes.merge(pattern.right)
        return axes.x

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        pattern, sizes = self.read(g.inputs[0])
        axes = OnnxAxes(g, x, sizes)
        if pattern.before == pattern.after:
            return reshape_onnx(g, x, g.outputs[0].shape)
        axes.split(pattern.left)
        axes.order(pattern.before, pattern.after)
        axes.merge(pattern.right)
        return axes.x


_REDUCTIONS = {
    "mean": ("mean", "ReduceMean"),
    "sum": ("sum", "ReduceSum"),
    "max": ("amax", "ReduceMax"),
    "min": ("amin", "ReduceMin"),
}


class Reduce(Patterned):
    """The axes that the right side of the pattern leaves out reduced: `"n c h w -> n c"` with "mean" pools an image."""

    by: Literal["mean", "sum", "max", "min"] = "mean"
    examples = (
        Example("N C H W", pattern="n c h w -> n c", gives="N C"),
        Example("N C 2*H 2*W", pattern="n c (h p) (w q) -> n c h w", p=2, q=2, by="max", gives="N C H W"),
        Example("N T C", pattern="n t c -> c n", by="sum", gives="C N"),
        Example("N T C", pattern="... c -> c 1", by="min", gives="C 1"),
        Example("int N T", pattern="n t -> n", by="sum", gives="int N"),
    )

    def infer(self, x: Tensor) -> Tensor:
        pattern, sizes = self.read(x)
        if self.by == "mean":
            require_float("x", x)
        require_number("x", x)
        new = [name for name in pattern.after if name not in pattern.before]
        if new:
            raise ShapeError("pattern", f"`{new[0]}` is new on the right of the pattern", help="repeat_axis adds axes")
        dtype = DType.INT if self.by == "sum" and x.dtype.is_int else x.dtype
        extreme = self.by in ("max", "min")
        gone = [name for name in pattern.before if name not in pattern.after]
        if extreme and any(sizes[name].less(1) for name in gone):
            raise ShapeError("x", f"x is empty along an axis, which has no {self.by}", label=str(x))
        below = x.below if extreme else None
        return Tensor(dtype, patterns.shape(pattern.right, sizes), below)

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], x: Tensor) -> Kept:
        return Kept() if self.by in ("mean", "sum") else Kept((0,), (0,))

    def torch(self, t: TorchContext, x: Code) -> Code:
        pattern, sizes = self.read(t.inputs[0])
        axes = TorchAxes(t, x, sizes)
        axes.split(pattern.left)
        gone = self._gone(pattern)
        if gone:
            axes.method(_REDUCTIONS[self.by][0], dim=gone if gone[1:] else gone[0])
        axes.order([name for name in pattern.before if name in pattern.after], pattern.after)
        axes.merge(pattern.right)
        return axes.x

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        pattern, sizes = self.read(g.inputs[0])
        axes = OnnxAxes(g, g.cast(x, g.outputs[0].dtype), sizes)
        axes.split(pattern.left)
        gone = self._gone(pattern)
        if gone:
            axes.x = g.op(_REDUCTIONS[self.by][1], axes.x, g.ints(gone), keepdims=0)
        axes.order([name for name in pattern.before if name in pattern.after], pattern.after)
        axes.merge(pattern.right)
        return axes.x

    @staticmethod
    def _gone(pattern: Pattern) -> tuple[int, ...]:
        return tuple(axis for axis, name in enumerate(pattern.before) if name not in pattern.after)


class RepeatAxis(Patterned):
    """Elements repeated along the axes that are new on the right: `"n d -> n k d"` with k=3."""

    examples = (
        Example("N D", pattern="n d -> n k d", k=3, gives="N 3 D"),
        Example("N T", pattern="n t -> n (t k)", k=2, gives="N 2*T"),
        Example("N T", pattern="n t -> (k n) t", k=2, gives="2*N T"),
        Example("N T C", pattern="n t c -> c a n b t", a=2, b=3, gives="C 2 N 3 T"),
    )
    kept = NOTHING
    view = True

    def infer(self, x: Tensor) -> Tensor:
        pattern, sizes = self.read(x)
        lost = [name for name in pattern.before if name not in pattern.after]
        if lost:
            raise ShapeError(
                "pattern", f"`{lost[0]}` is lost on the right of the pattern", help="reduce takes axes away"
            )
        return x.reshaped(patterns.shape(pattern.right, sizes))

    def torch(self, t: TorchContext, x: Code) -> Code:
        pattern, sizes = self.read(t.inputs[0])
        axes = TorchAxes(t, x, sizes)
        axes.split(pattern.left)
        axes.order(pattern.before, [name for name in pattern.after if name in pattern.before])
        new = self._new(pattern)
        if new:
            indices = ["None" if axis in new else ":" for axis in range(len(pattern.after))]
            axes.x = t.index(axes.x, *indices[: max(new) + 1])
            axes.method("expand", *(sizes[name] if axis in new else -1 for axis, name in enumerate(pattern.after)))
        axes.merge(pattern.right)
        return axes.x

    def onnx(self, g: OnnxContext, x: OnnxValue) -> OnnxValue:
        pattern, sizes = self.read(g.inputs[0])
        axes = OnnxAxes(g, x, sizes)
        axes.split(pattern.left)
        axes.order(pattern.before, [name for name in pattern.after if name in pattern.before])
        new = self._new(pattern)
        if new:
            expanded = [sizes[name] if axis in new else Dim.of(1) for axis, name in enumerate(pattern.after)]
            axes.x = g.op("Expand", g.op("Unsqueeze", axes.x, g.ints(new)), g.sizes(expanded))
        axes.merge(pattern.right)
        return axes.x

    @staticmethod
    def _new(pattern: Pattern) -> list[int]:
        return [axis for axis, name in enumerate(pattern.after) if name not in pattern.before]
