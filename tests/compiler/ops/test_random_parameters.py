"""Shapes and parameters drawn at random: our rule and PyTorch both accept and agree, or both reject.

An operation is tested by having examples, from which the draws start (`drawing.py`). Each is drawn 5 times, and 60
times with DLC_LONG=1 in the environment. The code is what `Op.torch` writes, called eagerly.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from dlc.compiler.op import Op, operations
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import DType, Scalar, ShapeError, Tensor, TypeMismatch

from .drawing import Drawn, calls

LONG = bool(os.environ.get("DLC_LONG"))
DTYPES = {
    DType.FLOAT: torch.float32,
    DType.FLOAT64: torch.float64,
    DType.FLOAT16: torch.float16,
    DType.BFLOAT16: torch.bfloat16,
    DType.INT: torch.int64,
    DType.INT32: torch.int32,
    DType.INT8: torch.int8,
    DType.UINT8: torch.uint8,
    DType.BOOL: torch.bool,
}

# Operations that are not drawn.
APART = {"l1": "takes a model, not shapes", "l2": "takes a model, not shapes"}

# Where our rule is meant to be stricter than PyTorch: words of what it says, and why.
EVERYWHERE = {
    "at least 1 is due": "a layer of no units and a table of no rows are mistakes",
    "compared element by element": "losses and metrics never broadcast",
    "axis and axes are both given": "one of them would be ignored",
    "axes names no axis": "an empty list would mean all axes in PyTorch",
    "is empty along axis": "PyTorch takes tensors without elements here and refuses them there",
    "is above high": "an interval from above to below",
    ", above high, ": "an interval from above to below",
    "sizes are not negative": "PyTorch makes shapes of negative sizes where one of them is 0",
    "one logit tells two classes apart": "PyTorch counts whatever numbers there are",
    "a standard deviation is not negative": "PyTorch mirrors the draws",
}
STRICTER: dict[str, dict[str | None, str]] = {
    "accuracy": {"k": "of two classes one of the two best is always right"},
    "attention": {
        "k": "PyTorch divides by the number of key heads, and dies where it is 0; examples do not broadcast",
        "v": "keys and values belong to each other; PyTorch broadcasts their examples",
        "q": "a head of no width has no scale",
    },
    "auroc": {"scores": "pairs are counted over one axis"},
    "bleu": {
        "guess": "sequences stand in rows, and each has its own reference",
        "target": "sequences stand in rows, and each has its own reference",
    },
    "confusion": {"target": "what has no axis of classes has no row for each"},
    "cross_entropy": {
        "ignore": "PyTorch ignores `ignore` where the target is made of probabilities",
        "weight": "PyTorch reads beyond a weight that is too short",
    },
    "ctc": {
        "logits": "examples stand in rows; PyTorch takes one alone",
        "target": "PyTorch reads beyond the classes",
    },
    "cutmix": {"target": "each example has its target; PyTorch takes those it needs"},
    "einsum": {f"xs[{place}]": "einsum names sizes, and does not broadcast" for place in range(1, 3)},
    "fill": {"value": "what fills is one number"},
    "hinge": {"scores": "examples stand in rows; PyTorch takes one alone"},
    "info_nce": {"query": "examples stand in rows"},
    "layer_norm": {"axes": "PyTorch is told sizes, not axes"},
    "mixup": {"target": "each example has its target; PyTorch takes those it needs"},
    "nll": {"weight": "PyTorch reads beyond a weight that is too short"},
    "one_hot": {"x": "-1 stands for any number of classes in PyTorch", "classes": "-1 likewise"},
    "pad": {"mode": "PyTorch takes the first of four axes for channels where three are padded"},
    "perplexity": {"target": "a target of probabilities is not one of tokens"},
    "pixel_shuffle": {"x": "images are [N, C, H, W]; PyTorch takes more axes before"},
    "positions": {"places": "a list of no positions"},
    "r2": {"prediction": "one number has no variance"},
    "random_crop": {"x": "examples and channels stand before what is cut"},
    "random_flip": {
        "axis": "axis 0 numbers the examples, and each is turned by itself",
        "x": "axis 0 numbers the examples, and each is turned by itself",
    },
    "random_shift": {"x": "examples and channels stand before what is moved"},
    "resize": {None: "a size would make the factor idle"},
    "rope": {"x": "PyTorch has no such function; ours turns pairs"},
    "scatter_add": {
        "index": "PyTorch takes a scalar for a vector of one",
        "values": "values and index belong to each other; PyTorch leaves out what is beyond the index",
    },
    "sinusoid": {"width": "PyTorch has no such function; ours makes pairs"},
    "split": {"parts": "equal parts are equal; PyTorch makes the last one smaller"},
    "squeeze": {"axis": "PyTorch leaves an axis of another size than 1 as it is"},
    "topk": {"k": "nothing would be chosen"},
}
for layer in ("rnn", "gru", "lstm"):
    STRICTER[layer] = {
        "dropout": "PyTorch warns, and drops nothing",
        "state": "a state of another shape is cut into layers and directions as if it had the right one",
        "cell": "likewise",
    }
for measure in ("std", "var"):
    STRICTER[measure] = {"correction": "PyTorch gives infinity or nan"}
for segment in ("segment_max", "segment_mean", "segment_softmax", "segment_sum"):
    STRICTER[segment] = {"index": "each row has one segment; PyTorch leaves out what is beyond the index"}


@pytest.mark.parametrize("name", sorted(operations().keys() - APART.keys()))
def test_both_accept_and_agree_or_both_reject(name: str) -> None:
    check(operations()[name])


def check(kind: type[Op]) -> None:
    @settings(
        max_examples=60 if LONG else 5,
        deadline=None,
        database=None,
        derandomize=not LONG,
        suppress_health_check=list(HealthCheck),
    )
    @given(calls(kind), st.integers(0, 9))
    def agree(call: Drawn, seed: int) -> None:
        try:
            op = kind(**call.static)
            expected = op.results(*call.inputs)
        except TypeMismatch:
            return  # in the language no element type becomes another one silently; in PyTorch several do
        except ShapeError as error:
            if not is_meant(call, error):
                refused_by_torch(kind(**call.static), call, seed, error)
            return
        except ValueError:
            return  # a parameter out of its bounds, which no code can be written for
        given = arrays(call, seed)
        assume(given is not None)
        assert given is not None
        results = run(op, call, given, expected)
        assert [(tuple(result.shape), result.dtype) for result in results] == [
            (tuple(map(int, type.shape)), DTYPES[type.dtype]) for type in expected
        ]

    agree()


def is_meant(call: Drawn, error: ShapeError) -> bool:
    """Whether PyTorch need not refuse as well."""
    tensors = [type for type in call.inputs if isinstance(type, Tensor)]
    if any(size == 0 for type in tensors for size in type.shape):
        return True  # PyTorch checks less where there are no elements
    if "there is no axis" in error.message and any(type.rank == 0 for type in tensors):
        return True  # PyTorch takes a scalar for a vector of one
    return error.argument in STRICTER.get(call.kind.name, {}) or any(words in error.message for words in EVERYWHERE)


def refused_by_torch(op: Op, call: Drawn, seed: int, error: ShapeError) -> None:
    given = arrays(call, seed)
    assume(given is not None)
    assert given is not None
    try:
        results = run(op, call, given, ())
    except Exception:  # however PyTorch says it, or no code could be written
        return
    shapes = [tuple(result.shape) for result in results]
    raise AssertionError(f"we refuse {error.argument} ({error.message}), and PyTorch gives {shapes}")


def arrays(call: Drawn, seed: int) -> list[torch.Tensor | None] | None:
    """A tensor for each input, ints the greatest that their type allows; none where no values are in the range."""
    random = np.random.default_rng(seed)
    found: list[torch.Tensor | None] = []
    for type in call.inputs:
        if not isinstance(type, Tensor):
            found.append(None)
            continue
        shape = tuple(map(int, type.shape))
        if type.dtype.is_float:
            values = random.uniform(0.1, 2, shape) if call.positive else random.normal(size=shape)
            if call.definite and len(shape) > 1 and shape[-1] == shape[-2]:
                values = values @ values.swapaxes(-1, -2) + np.eye(shape[-1])
        elif type.dtype is DType.BOOL:
            values = random.random(shape) < 0.5
        elif type.below is not None:
            if int(type.below) < 1 or 0 in shape:
                return None
            values = np.full(shape, int(type.below) - 1)
        elif len(call.inputs) > 1 and nothing_to_point_at(call):
            return None
        else:
            values = np.zeros(shape) + call.positive
        found.append(torch.tensor(values, dtype=DTYPES[type.dtype]))
    return found


def nothing_to_point_at(call: Drawn) -> bool:
    """Whether an axis is empty, so that no position along it is right, and none can be known to be wrong."""
    return any(size == 0 for type in call.inputs if isinstance(type, Tensor) for size in type.shape)


def run(op: Op, call: Drawn, given: list[torch.Tensor | None], outputs: tuple[Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """What the code of one operation gives, in evaluation."""
    names: dict[str, Any] = {"torch": torch, "F": functional, "nn": nn, "self": nn.Module().eval()}
    codes: list[Code | None] = []
    floats: list[str] = []
    for place, (value, kind) in enumerate(zip(given, call.inputs, strict=True)):
        if isinstance(kind, Scalar):
            codes.append(TorchContext((), (), sizes=lambda size: Code(str(int(size)))).literal(kind.value))
        elif value is None:
            codes.append(None)
        else:
            names[f"x{place}"] = value
            codes.append(Code(f"x{place}"))
            floats += [f"x{place}"] if value.dtype is torch.float32 else []
    tensors = [name for name in names if name[0] == "x"]
    anchor = (floats or tensors or [None])[0]
    weights = op.weights(*call.inputs) if outputs else type(op).torch_module is not Op.torch_module
    context = TorchContext(
        call.inputs,
        outputs,
        module="module" if weights or op.stateful else "",
        sizes=lambda size: Code(str(int(size))),
        anchor=anchor,
        float_anchor=floats[0] if floats else None,
    )
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        if context.module and type(op).torch_module is not Op.torch_module:
            names["module"] = eval(op.torch_module(context, *call.inputs), names).eval()
        code = op.torch(context, *codes)
        for statement in (*context.imports, *context.functions.values()):
            exec(statement, names)
        results = eval(code, names)
    return tuple(results) if isinstance(results, (tuple, list)) else (results,)
