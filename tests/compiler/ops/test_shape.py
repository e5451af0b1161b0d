"""What operations on shapes refuse, and shapes that the table of examples does not show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlc.compiler.dim import Dim
from dlc.compiler.op import operations
from dlc.compiler.ops.indexing import At, Gather, Item, NewAxis, Range, Rest
from dlc.compiler.types import ShapeError, Tensor, TypeMismatch

from .refusals import refusal


def span(start: int | None = None, stop: int | None = None, step: int = 1) -> Range:
    return Range(None if start is None else Dim.of(start), None if stop is None else Dim.of(stop), step)


BAD: list[tuple[str, tuple[Any, ...], dict[str, Any], str | None, str]] = [
    ("reshape", ("N 6",), {"shape": ("N", 4)}, "shape", "6*N elements do not fill the shape [N, 4]"),
    ("reshape", ("N 6",), {"shape": (-1, 4)}, "shape", "6*N elements do not divide into [-1, 4]"),
    ("reshape", ("N 6",), {"shape": (-1, -1)}, "shape", "two sizes are -1, and only one can be what is left over"),
    ("reshape", ("N 6",), {"shape": ("N", -6)}, "shape", "the shape [N, -6] has a negative size"),
    ("flatten", ("N",), {"start": 1}, "start", "there is no axis 1"),
    ("flatten", ("N T C",), {"start": 2, "end": 1}, "start", "flatten starts at axis 2 and ends at axis 1"),
    ("squeeze", ("N T",), {"axis": 1}, "axis", "axis 1 has size T, and only an axis of size 1 can be taken away"),
    ("unsqueeze", ("N T",), {"axis": 4}, "axis", "there is no axis 4"),
    ("transpose", ("N T",), {"a": 0, "b": 2}, "b", "there is no axis 2"),
    ("permute", ("N T C",), {"axes": (0, 1)}, "axes", "the order names 2 axes, and x has 3"),
    ("permute", ("N T",), {"axes": (0, -2)}, "axes", "axis -2 is named twice"),
    ("expand", ("N 3",), {"shape": ("N", 4)}, "shape", "an axis of size 3 cannot be expanded to 4"),
    ("expand", ("N 3",), {"shape": (3,)}, "shape", "x has 2 axes, and the shape is for 1"),
    ("expand", ("N",), {"shape": (-1, "N")}, "shape", "-1 stands for an axis that x does not have"),
    ("concat", ("N 3", "T 3"), {"axis": 1}, "xs[1]", "the shapes do not fit"),
    ("concat", ("N 3", "N 3 1"), {"axis": 1}, "xs[1]", "2 axes against 3"),
    ("concat", ("N", "bool N"), {"axis": 0}, "xs[1]", "float and bool cannot be put together"),
    ("stack", ("N 3", "N 3", "N 4"), {}, "xs[2]", "the shapes do not fit"),
    ("split", ("N 7",), {"parts": 2, "axis": 1}, "parts", "an axis of size 7 has no 2 equal parts"),
    ("split", ("N T",), {"parts": 2, "axis": 1}, "parts", "an axis of size T has no 2 equal parts"),
    ("split", ("N 7",), {"parts": (3, 3), "axis": 1}, "parts", "the parts add up to 6, and the axis has size 7"),
    ("pad", ("N 3",), {"left": 3, "mode": "reflect"}, "left", '"reflect" has 2 elements to copy here, not 3'),
    ("pad", ("N",), {"left": 1, "mode": "reflect"}, "mode", '"reflect" is for axes that follow the channels'),
    ("pad", ("N",), {"left": 1, "axis": 1}, "axis", "there is no axis 1"),
    ("tril", ("N",), {}, "x", "x has 1 axis, and 2 or more axes are due"),
    ("unfold", ("N 3",), {"kernel": 4}, "kernel", "a window of 4 does not fit into an axis of size 3"),
    ("gather", ("N T", "int N"), {"axis": 1}, "index", "index has 1 axis, and x has 2"),
    ("gather", ("N 4", "int N 2 < 5"), {"axis": 1}, "index", "index goes up to 5, and there are 4 positions on axis 1"),
    ("gather", ("2 4", "int 3 4"), {"axis": 1}, "index", "index has size 3 on axis 0, and x 2"),
    ("gather", ("N 4", "N 2"), {"axis": 1}, "index", "index is float, and it must be int"),
    ("scatter_add", ("N 4", "int N 2", "N 3"), {"axis": 1}, "values", "values and index differ in shape"),
    ("scatter_add", ("N 4", "int N 2", "int N 2"), {"axis": 1}, "values", "values are int, and x is float"),
    ("one_hot", ("N",), {"classes": 3}, "x", "x is float, and it must be int"),
    ("one_hot", ("int N < 5",), {"classes": 3}, "x", "x goes up to 5, and there are 3 classes"),
    ("pixel_shuffle", ("N 6 H W",), {"factor": 2}, "factor", "6 channels do not divide by 2*2"),
    ("resize", ("N C H W",), {}, None, "resize takes a factor or a size, one of the two"),
    ("resize", ("N C H W",), {"size": (4,)}, "size", "the size is for 1 axis, and there are 2 behind the channels"),
    ("resize", ("N C T",), {"factor": 2, "mode": "bilinear"}, "mode", '"bilinear" is for images, of 4 axes'),
    ("swap_last", ("N",), {}, "x", "x has 1 axis, and 2 or more axes are due"),
    ("index", ("N 4",), {"items": (span(), At(Dim.of(4)))}, "items[1]", "there is no position 4 on axis 1"),
    ("index", ("N 4",), {"items": (Rest(), At(Dim.of(-5)))}, "items[1]", "there is no position -5 on axis 1"),
    ("index", ("N",), {"items": (span(), span())}, "items", "the index is for 2 axes, and x has 1"),
    ("index", ("N T",), {"items": (Rest(), Rest())}, "items", "an index has one `...` at most"),
    ("index", ("5",), {"items": (span(0, 6),)}, "items[0]", "the slice leaves axis 0 at 6"),
    ("index", ("5",), {"items": (span(3, 1),)}, "items[0]", "the slice of axis 0 ends before it starts"),
    ("index", ("5",), {"items": (span(None, None, -1),)}, "items[0]",
     "a slice has the step -1, and it must be positive"),
    ("index", ("V D", "int N < 2*V"), {"items": (Gather(),)}, "indices", "positions below 2*V exceed axis 0"),
    ("index", ("N", "bool N"), {"items": (Gather(),)}, "indices",
     "a bool tensor as an index would give a shape that depends on values"),
    ("index", ("N", "N"), {"items": (Gather(),)}, "indices", "an index is float, and it must be int"),
    ("index", ("N 3 T", "int", "int"), {"items": (Gather(), span(), Gather())}, "items[2]",
     "tensors of positions stand on axes that are not adjacent"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "inputs", "static", "argument", "message"), BAD)
def test_refuses(
    name: str, inputs: tuple[Any, ...], static: dict[str, Any], argument: str | None, message: str
) -> None:
    error = refusal(operations()[name], *inputs, **static)
    assert error.message == message
    assert error.argument == argument


def test_a_mask_as_index_names_where() -> None:
    error = refusal(operations()["index"], "N", "bool N", items=(Gather(),))
    assert isinstance(error, TypeMismatch)
    assert error.help is not None
    assert "where(" in error.help


def test_slices_up_to_symbolic_sizes() -> None:
    length, context = Dim.symbol("T"), Dim.symbol("C")
    op = operations()["index"](items=(Range(None, length), Range(length)))
    assert op.infer(Tensor.of(context, 2 * length)) == Tensor.of(length, length)


positions = st.one_of(
    st.integers(-4, 3).map(lambda place: (At(Dim.of(place)), place)),
    st.tuples(st.integers(-4, 4), st.integers(-4, 4), st.integers(1, 3)).map(
        lambda bounds: (span(*bounds), slice(*bounds))
    ),
    st.just((NewAxis(), None)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(positions, max_size=3))
def test_indexing_is_that_of_numpy(chosen: list[tuple[Item, Any]]) -> None:
    array = np.arange(64).reshape(4, 4, 4)
    op = operations()["index"](items=tuple(item for item, _ in chosen))
    try:
        result = op.infer(Tensor.of(4, 4, 4))
    except ShapeError as error:
        starts = [part.indices(4) for _, part in chosen if isinstance(part, slice)]
        assert any(start > stop for start, stop, _ in starts), error.message  # noqa: PT017
    else:
        assert tuple(map(int, result.shape)) == array[tuple(part for _, part in chosen)].shape


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(4)), st.integers(0, 3))
def test_permute_moves_axes_as_pytorch_does(order: list[int], turned: int) -> None:
    shape = (2, 3, 5, 7)
    axes = tuple(axis - 4 if axis == turned else axis for axis in order)
    result = operations()["permute"](axes=axes).infer(Tensor.of(*shape))
    assert tuple(map(int, result.shape)) == torch.empty(shape).permute(axes).shape
