"""Sums of products over named axes."""

from __future__ import annotations

from string import ascii_letters
from typing import TYPE_CHECKING

from dlc.compiler.dim import Dim
from dlc.compiler.flow.reading import Flow, Gate, Name
from dlc.compiler.kept import Casting, Kept, Tape
from dlc.compiler.op import Example, Op
from dlc.compiler.ops.linalg import same_type
from dlc.compiler.types import DType, ShapeError, Tensor, TypeMismatch, axes, product, unify

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue
    from dlc.compiler.torch.context import Code, TorchContext


class Einsum(Op):
    """Products of elements, summed over the names that the right side of the pattern leaves out.

    `"n i d, n j d -> n i j"` is the table of the dot products of all rows. There is one list of names, separated by
    spaces, for each tensor.
    """

    pattern: str
    examples = (
        Example("N T D", "N 3 D", pattern="n i d, n j d -> n i j", gives="N T 3"),
        Example("N D", "N T D", pattern="n d, n c d -> n c", gives="N T"),
        Example("N T", pattern="n t -> t n", gives="T N"),
        Example("N T", pattern="n t ->", gives=""),
        Example("N N", pattern="i i -> i", gives="N"),
        Example("N D", "D T", "T", pattern="n width, width time, time -> n", gives="N"),
    )
    casting = Casting.LOWER
    promotes = True

    def terms(self) -> tuple[list[list[str]], list[str]]:
        """The names of each tensor's axes, and of the result's. Raises ShapeError."""
        left, arrow, right = self.pattern.partition("->")
        if not arrow:
            raise ShapeError("pattern", "the pattern has no `->`", help='write the result too, as in "i k, k j -> i j"')
        terms = [term.split() for term in left.split(",")]
        result = right.split()
        for name in (*(name for term in terms for name in term), *result):
            if not name.isidentifier():
                raise ShapeError("pattern", f"`{name}` is not a name", label="names are separated by spaces")
        return terms, result

    def sizes(self, xs: tuple[Tensor, ...]) -> dict[str, Dim]:
        """The size of each name. Raises ShapeError where two tensors disagree."""
        terms, _ = self.terms()
        if len(terms) != len(xs):
            raise ShapeError("pattern", f"the pattern is for {len(terms)} tensors, and {len(xs)} are given")
        sizes: dict[str, Dim] = {}
        for place, (term, x) in enumerate(zip(terms, xs, strict=True)):
            if len(term) != x.rank:
                raise ShapeError(
                    f"xs[{place}]",
                    f"`{' '.join(term)}` names {axes(len(term))}, and the tensor has {x.rank}",
                    label=str(x),
                )
            for name, size in zip(term, x.shape, strict=True):
                known = sizes.setdefault(name, size)
                if known != size:
                    raise ShapeError(
                        f"xs[{place}]",
                        "the shapes do not fit",
                        label=f"`{name}` is {known} before and {size} here",
                        sizes=(known, size),
                    )
                sizes[name] = unify(known, size)
        return sizes

    def infer(self, *xs: Tensor) -> Tensor:
        sizes = self.sizes(xs)
        _, result = self.terms()
        for place, name in enumerate(result):
            if name not in sizes:
                raise ShapeError("pattern", f"`{name}` of the result is no axis of a tensor")
            if name in result[:place]:
                raise ShapeError("pattern", f"`{name}` stands twice in the result")
        dtype = same_type([f"xs[{place}]" for place in range(len(xs))], xs)
        if not dtype.is_float and dtype is not DType.INT:
            raise TypeMismatch(
                "xs[0]",
                f"xs[0] is {dtype.value}, in which sums of products do not fit",
                label=str(xs[0]),
                help='convert the tensors first, as in cast(x, "int")',
            )
        return Tensor(dtype, tuple(sizes[name] for name in result))

    def flow(self, to: tuple[Tensor, ...], *xs: Tensor) -> Flow:
        terms, result = self.terms()
        sizes: dict[Name, Dim] = {**self.sizes(xs)}
        reads = tuple(tuple((name,) for name in term) for term in terms)
        places = range(len(xs))
        gates = tuple(Gate(of, by, 0) for of in places for by in places if of != by)
        return Flow(reads, tuple((name,) for name in result), sizes, gates)

    def equation(self) -> str:
        """The pattern with a letter for each name: its first where that is free."""
        terms, result = self.terms()
        letters: dict[str, str] = {}
        for name in (name for term in terms for name in term):
            if name not in letters:
                free = (letter for letter in (name[0].lower(), name[0].upper(), *ascii_letters) if letter.isalpha())
                letters[name] = next(letter for letter in free if letter not in letters.values())
        left = ",".join("".join(letters[name] for name in term) for term in terms)
        return f"{left}->{''.join(letters[name] for name in result)}"

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], *xs: Tensor) -> Kept:
        return Kept(tuple(range(len(xs))))

    def torch(self, t: TorchContext, *xs: Code) -> Code:
        return t.call("torch.einsum", self.equation(), *xs)

    def onnx(self, g: OnnxContext, *xs: OnnxValue) -> OnnxValue:
        return g.op("Einsum", *xs, equation=self.equation())

    def macs(self, *xs: Tensor) -> Dim:
        return product(list(self.sizes(xs).values())) * (len(xs) - 1)
