"""Attention by the standard's operator: at lengths where it is cut into pieces, and where it is empty."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from dlc.compiler.onnx.emit import emit_model
from dlc.compiler.onnx.opset import NEWEST, OPSET
from dlc.compiler.op import operations
from dlc.compiler.ops.attending import LONG, PIECES

from .refusals import example

OPS = operations()
LENGTHS = [0, 1, 2, 3, 7, LONG - 1, LONG, LONG + 1, 2 * LONG + 3]


def session(graph: Any) -> tuple[onnx.ModelProto, Any]:
    model = emit_model(graph, {})
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return model, onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(session: Any, *values: torch.Tensor) -> torch.Tensor:
    names = [given.name for given in session.get_inputs()]
    (result,) = session.run(None, dict(zip(names, (value.numpy() for value in values), strict=True)))
    return torch.from_numpy(np.asarray(result))


def kinds(graph: onnx.GraphProto) -> list[str]:
    """The operators of a graph and of those within its nodes."""
    found: list[str] = []
    for node in graph.node:
        found.append(node.op_type)
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                found += kinds(attribute.g)
    return found


@pytest.fixture(scope="module")
def causal() -> Any:
    case = example(OPS["attention"], *["N 4 T-1 8"] * 3, causal=True)  # which may be of length 0
    return session(case.graph())[1]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("batch", [1, 2])
def test_causal_attention_is_pytorchs_at_every_length(causal: Any, batch: int, length: int) -> None:
    q, k, v = (torch.randn(batch, 4, length, 8) for _ in range(3))
    expected = scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(run(causal, q, k, v), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("length", [0, 5, LONG + 1])
def test_joined_heads_share_those_of_the_keys(length: int) -> None:
    case = example(OPS["head_attention"], "N T-1 32", "N T-1 16", "N T-1 16", heads=4, shared=2, causal=True, scale=0.3)
    q, k, v = torch.randn(2, length, 32), torch.randn(2, length, 16), torch.randn(2, length, 16)
    heads = [x.unflatten(2, (-1, 8)).transpose(1, 2) for x in (q, k, v)]
    expected = scaled_dot_product_attention(*heads, is_causal=True, scale=0.3, enable_gqa=True)
    given = run(session(case.graph())[1], q, k, v)
    torch.testing.assert_close(given, expected.transpose(1, 2).flatten(2), rtol=0, atol=1e-5)


@pytest.mark.parametrize("keys", [0, 3, 2 * LONG])
def test_what_is_not_causal_sees_all_keys_and_0_where_there_are_none(keys: int) -> None:
    case = example(OPS["attention"], "N 2 T 4", "N 2 S-1 4", "N 2 S-1 6")
    q, k, v = torch.randn(2, 2, LONG + 1, 4), torch.randn(2, 2, keys, 4), torch.randn(2, 2, keys, 6)
    given = run(session(case.graph())[1], q, k, v)
    torch.testing.assert_close(given, scaled_dot_product_attention(q, k, v), rtol=0, atol=1e-5)


def test_causal_keys_of_another_length_start_where_the_queries_do() -> None:
    case = example(OPS["attention"], "N 2 T 4", "N 2 S 4", "N 2 S 4", causal=True)
    q, k, v = torch.randn(1, 2, LONG, 4), torch.randn(1, 2, LONG + 9, 4), torch.randn(1, 2, LONG + 9, 4)
    given = run(session(case.graph())[1], q, k, v)
    torch.testing.assert_close(given, scaled_dot_product_attention(q, k, v, is_causal=True), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("length", "operators", "branches"),
    [(LONG - 1, 1, 0), (LONG, PIECES, 0), ("T", PIECES + 1, 1), ("T-1", PIECES + 1, 2)],
)
def test_lengths_that_are_known_need_no_branch(length: int | str, operators: int, branches: int) -> None:
    model, _ = session(example(OPS["attention"], *[f"2 4 {length} 8"] * 3, causal=True).graph())
    assert (kinds(model.graph).count("Attention"), kinds(model.graph).count("If")) == (operators, branches)
    assert [(entry.version, model.ir_version) for entry in model.opset_import] == [(NEWEST, 11)]


MASKS = ["bool N 1 1 S", "bool T S", "bool N 4 T S", "N 1 T S", "4 T S", "S", "bool 1 1"]


def drawn(mask: str, sizes: dict[str, int]) -> torch.Tensor:
    """A mask of this type, in which one query of three sees nothing."""
    kind, *shape = mask.split() if mask.startswith("bool") else ("", *mask.split())
    seen = torch.rand([sizes[size] if size in sizes else int(size) for size in shape]) > 0.3
    if seen.ndim > 1:
        seen[..., ::3, :] = False
    return seen if kind == "bool" else torch.where(seen, torch.randn(seen.shape), -torch.inf)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("options", [{}, {"causal": True}, {"window": 2}, {"causal": True, "window": 3}])
@pytest.mark.parametrize("lengths", [(9, 9), (4, 7), (7, 4)])
def test_masks_and_windows_are_pytorchs(mask: str, options: dict[str, Any], lengths: tuple[int, int]) -> None:
    case = example(OPS["attention"], "N 4 T 8", "N 2 S 8", "N 2 S 6", mask, **options)
    model, opened = session(case.graph())
    assert kinds(model.graph).count("Attention") == 1
    queries, keys = lengths
    q, k, v = torch.randn(2, 4, queries, 8), torch.randn(2, 2, keys, 8), torch.randn(2, 2, keys, 6)
    given = drawn(mask, {"N": 2, "T": queries, "S": keys})
    back = torch.arange(queries)[:, None] - torch.arange(keys)
    near = torch.ones(queries, keys, dtype=torch.bool)
    near &= back >= 0 if "causal" in options else near
    near &= back.abs() < options.get("window", queries + keys)
    every = given & near if given.dtype is torch.bool else torch.where(near, given, -torch.inf)
    expected = scaled_dot_product_attention(q, k, v, every, enable_gqa=True)
    torch.testing.assert_close(run(opened, q, k, v, given), expected.nan_to_num(0.0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("lengths", [(9, 9), (9, 4)])
def test_windows_need_no_mask(lengths: tuple[int, int]) -> None:
    case = example(OPS["attention"], "N 2 T 4", "N 2 S 4", "N 2 S 4", window=2)
    q, k = torch.randn(1, 2, lengths[0], 4), torch.randn(1, 2, lengths[1], 4)
    near = (torch.arange(lengths[0])[:, None] - torch.arange(lengths[1])).abs() < 2
    expected = scaled_dot_product_attention(q, k, k, near).nan_to_num(0.0)
    torch.testing.assert_close(run(session(case.graph())[1], q, k, k), expected, rtol=0, atol=1e-5)


def test_heads_without_a_scale_are_written_out_in_the_older_opset() -> None:
    model, _ = session(example(OPS["attention"], *["N 4 T e"] * 3, causal=True).graph())
    assert "Attention" not in kinds(model.graph)
    assert [(entry.version, model.ir_version) for entry in model.opset_import] == [(OPSET, 10)]
