"""Built models in lower precision: every operation's examples, and what is kept in single precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from dlc.compiler.onnx.eight_bits import levels, quantised, scales
from dlc.compiler.onnx.emit import build_model
from dlc.compiler.onnx.half import AUTOCAST, SINGLE_ONLY, half_precision
from dlc.compiler.onnx.int8 import Ranges, int8
from dlc.compiler.onnx.operators import SCHEMAS
from dlc.compiler.onnx.opset import OPSET, SINCE
from dlc.compiler.onnx.quantisable import observed
from dlc.compiler.onnx.wire import encode
from dlc.compiler.program import Model
from dlc.compiler.types import DType
from dlc.compiler.weights import draw_weights
from dlc.grammar.diagnostics import Refusal

from ..ops.examples import Case, cases
from ..ops.targets import Torch

Array = np.ndarray[Any, Any]
CASES = [case for case in cases() if case.op.no_onnx is None]
MUST = {"embedding", "gru_cell", "linear", "lstm", "lstm_cell"}  # what can always be computed in integers
ILL_CONDITIONED = {"solve", "inverse"}


def run(data: bytes, *arrays: Array) -> dict[str, Array]:
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    session = onnxruntime.InferenceSession(data, settings, providers=["CPUExecutionProvider"])
    names = [value.name for value in onnx.ModelProto.FromString(data).graph.input]
    results = session.run(None, dict(zip(names, arrays, strict=True)))
    return dict(zip([output.name for output in session.get_outputs()], results, strict=True))


def halved(model: Model, half: DType = DType.FLOAT16) -> onnx.ModelProto:
    weights = draw_weights(model.graph.weights(), 0)
    return onnx.ModelProto.FromString(encode(half_precision(build_model(model.graph, weights), half)))


def in_int8(model: Model) -> onnx.ModelProto:
    weights = draw_weights(model.graph.weights(), 0)
    return onnx.ModelProto.FromString(encode(int8(build_model(model.graph, weights))))


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in nodes(model.graph)]


def nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from nodes(attribute.g)


def types(model: onnx.ModelProto) -> dict[str, int]:
    return {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}


# --- every operation --------------------------------------------------------------------------------------------


def float16(case: Case, weights: dict[str, Array], arrays: list[Array]) -> bytes:
    data = encode(half_precision(build_model(case.graph(), weights), DType.FLOAT16))
    onnx.checker.check_model(onnx.ModelProto.FromString(data), full_check=True)
    return data


def calibrated(case: Case, weights: dict[str, Array], arrays: list[Array]) -> bytes | None:
    model, names = observed(build_model(case.graph(), weights))
    seen = run(encode(model), *arrays)
    ranges = {name: (float(seen[f"{name}/least"]), float(seen[f"{name}/greatest"])) for name in names}
    return in_integers(case, weights, ranges)


def dynamic(case: Case, weights: dict[str, Array], arrays: list[Array]) -> bytes | None:
    return in_integers(case, weights, None)


def in_integers(case: Case, weights: dict[str, Array], ranges: Ranges | None) -> bytes | None:
    """The case in 8-bit integers, none where it is refused, as what has no weights has to be."""
    try:
        return encode(int8(build_model(case.graph(), weights), ranges))
    except Refusal as refusal:
        codes = [diagnostic.code for diagnostic in refusal.diagnostics]
    assert codes == ["DL7010"]
    assert case.op.name not in MUST
    return None


@pytest.mark.parametrize("lower", [float16, calibrated, dynamic])
@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_examples_agree_with_torch(case: Case, lower: Callable[..., bytes | None]) -> None:
    arrays = case.arrays(case.binding(second=True), seed=1)
    network = Torch(case)
    data = lower(case, network.weights(), arrays)
    if data is None:
        return
    for result, reference in zip(run(data, *arrays).values(), network(arrays), strict=True):
        expected = reference.detach().numpy()
        assert (result.shape, result.dtype) == (expected.shape, expected.dtype)
        if case.op.random:
            continue
        if expected.dtype.kind != "f":
            np.testing.assert_array_equal(result, expected)
            continue
        finite = np.isfinite(expected)
        np.testing.assert_array_equal(np.isfinite(result), finite)
        largest = float(np.abs(expected[finite]).max(initial=1.0))
        close = 0.02 if lower is not float16 or case.op.name in ILL_CONDITIONED else 2e-3
        assert float(np.abs(result[finite] - expected[finite]).max(initial=0.0)) <= close * largest


# --- half precision ---------------------------------------------------------------------------------------------


def test_what_the_standard_has_in_no_half_precision_is_kept_in_single() -> None:
    for kind in SCHEMAS:
        schema = onnx.defs.get_schema(kind, SINCE.get(kind, OPSET))
        allowed = {each.type_param_str: set(each.allowed_type_strs) for each in schema.type_constraints}
        formals = [*schema.inputs, *schema.outputs]
        asked = [allowed.get(formal.type_str, {formal.type_str}) for formal in formals]
        lacking = [types for types in asked if "tensor(float)" in types and "tensor(float16)" not in types]
        assert not lacking or kind in SINGLE_ONLY | AUTOCAST, kind


def test_inputs_outputs_names_and_lines_stay(model: Callable[..., Model]) -> None:
    text = """
model M(x: float[N, 8], k: int[N] < 5) -> (y: float[N, 4], z: float[N, 8]):
    e = k -> embedding(5, 8)
    z = softmax(x + e)
    return z -> linear(4), z
"""
    checked = model(text)
    single = onnx.ModelProto.FromString(encode(build_model(checked.graph, draw_weights(checked.graph.weights(), 0))))
    half = halved(checked)
    assert list(half.graph.input) == list(single.graph.input)
    assert list(half.graph.output) == list(single.graph.output)
    assert half.metadata_props == single.metadata_props
    made = {node.name for node in half.graph.node}
    assert {node.name for node in single.graph.node} <= made
    assert all(any(entry.key == "dlc.line" for entry in node.metadata_props) for node in half.graph.node)
    assert {tensor.data_type for tensor in half.graph.initializer} <= {
        onnx.TensorProto.FLOAT16,
        onnx.TensorProto.INT64,
    }
    x, k = np.ones((3, 8), np.float32), np.array([0, 4, 2])
    for name, result in run(half.SerializeToString(), x, k).items():
        np.testing.assert_allclose(result, run(single.SerializeToString(), x, k)[name], atol=1e-3)


def test_a_constant_that_would_vanish_or_overflow_keeps_its_operation_in_single(model: Callable[..., Model]) -> None:
    text = """
model M(x: float[N, 8]) -> (y: float[N, 4]):
    h = x -> linear(4)
    return (h * 1e-9 + 2e5 * h) / 2e5 + 1e-9 / (1e-9 + abs(h) * 0)
"""
    half = halved(model(text))
    x = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)
    (result,) = run(half.SerializeToString(), x).values()
    single = build_model(model(text).graph, draw_weights(model(text).graph.weights(), 0))
    (expected,) = run(encode(single), x).values()
    np.testing.assert_allclose(result, expected, rtol=1e-2, atol=2e-3)


def test_positions_are_not_rounded(model: Callable[..., Model]) -> None:
    text = """
model M(x: float[N, T, 4]) -> (y: float[N, T, 4]):
    place = reshape(arange(T), [T, 1])
    return (x -> linear(4)) * 0 + sin(place * 0.5)
"""
    half = halved(model(text))
    x = np.zeros((1, 5001, 4), np.float32)
    (result,) = run(half.SerializeToString(), x).values()
    np.testing.assert_allclose(result[0, :, 0], np.sin(np.arange(5001) * 0.5), atol=2e-3)


def test_batch_norms_are_folded_into_convolutions_before(model: Callable[..., Model]) -> None:
    text = (
        "model M(x: float[N, 3, 6, 6]) -> (y: float[N, 4, 6, 6]):\n    return x -> conv(4, 3) -> batch_norm -> relu\n"
    )
    half = halved(model(text))
    assert "BatchNormalization" not in kinds(half)


def test_loops_carry_half_precision(model: Callable[..., Model]) -> None:
    text = """
model M(x: float[N, T, 8]) -> (y: float[N, 8]):
    cell = gru_cell(8)
    h = zeros(N, 8)
    loop x_t in x along 1:
        h = cell(x_t, h)
    return h
"""
    checked = model(text)
    half = halved(checked)
    assert {"Scan", "Loop"} & set(kinds(half))
    x = np.random.default_rng(0).standard_normal((2, 9, 8)).astype(np.float32)
    (expected,) = run(encode(build_model(checked.graph, draw_weights(checked.graph.weights(), 0))), x).values()
    (result,) = run(half.SerializeToString(), x).values()
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, atol=4e-3)
    assert np.abs(result - expected).max() > 0  # it is another precision


def test_bfloat16_is_written_as_the_standard_has_it(model: Callable[..., Model]) -> None:
    text = "model M(x: float[N, 8]) -> (y: float[N, 4]):\n    return x -> linear(4) -> softmax\n"
    half = halved(model(text), DType.BFLOAT16)
    onnx.checker.check_model(half, full_check=True)
    from onnx.reference import ReferenceEvaluator

    x = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)
    (result,) = ReferenceEvaluator(half).run(None, {"x": x})
    checked = model(text)
    (expected,) = run(encode(build_model(checked.graph, draw_weights(checked.graph.weights(), 0))), x).values()
    np.testing.assert_allclose(result, expected, atol=2e-2)


# --- int8 -------------------------------------------------------------------------------------------------------


def test_integers_are_those_of_torch() -> None:
    weight = np.random.default_rng(0).standard_normal((6, 10)).astype(np.float32)
    steps = torch.from_numpy(scales(weight, 0))
    zeros = torch.zeros(6, dtype=torch.int32)
    expected = torch.fake_quantize_per_channel_affine(torch.from_numpy(weight), steps, zeros, 0, -127, 127)
    np.testing.assert_array_equal(quantised(weight, 0) * steps.numpy()[:, None], expected.numpy())
    assert np.abs(quantised(weight, 0)).max(axis=1).tolist() == [127] * 6


def test_a_row_of_zeros_stays_zero() -> None:
    weight = np.zeros((2, 3), np.float32)
    assert (scales(weight, 0) == 1).all()
    assert (quantised(weight, 0) == 0).all()


@pytest.mark.parametrize(("least", "greatest"), [(-1.0, 3.0), (0.5, 2.0), (-3.0, -1.0), (0.0, 0.0), (-1e-3, 1e3)])
def test_zero_is_a_level_and_the_range_is_covered(least: float, greatest: float) -> None:
    step, zero = levels(least, greatest)
    assert 0 <= zero <= 255
    assert (0 - zero) * step <= least + step
    assert (255 - zero) * step >= greatest - step


def test_a_tied_table_is_stored_once(model: Callable[..., Model]) -> None:
    text = """
model M(tokens: int[N, T] < 50) -> (logits: float[N, T, 50]):
    embed = embedding(50, 16)
    return embed(tokens) @ embed.weight.T
"""
    lowered = in_int8(model(text))
    tables = [tensor for tensor in lowered.graph.initializer if list(tensor.dims) == [50, 16]]
    assert [tensor.data_type for tensor in tables] == [onnx.TensorProto.INT8]


def test_onnxruntime_joins_what_is_written_into_its_integer_kernels(model: Callable[..., Model], tmp_path: Any) -> None:
    text = """
model M(x: float[N, T, 16]) -> (y: float[N, T, 4]):
    hs, _, _ = x -> lstm(8)
    return hs -> linear(32) -> relu -> linear(4)
"""
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    settings.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(in_int8(model(text)).SerializeToString(), settings, ["CPUExecutionProvider"])
    joined = kinds(onnx.load(tmp_path / "optimised.onnx"))
    assert joined.count("DynamicQuantizeMatMul") == 2
    assert joined.count("DynamicQuantizeLSTM") == 1
    assert not {"MatMul", "MatMulInteger", "LSTM"} & set(joined)


def test_products_in_loops_are_computed_in_integers(model: Callable[..., Model]) -> None:
    text = """
model M(x: float[N, T, 8]) -> (y: float[N, 8]):
    cell = gru_cell(8)
    h = zeros(N, 8)
    loop x_t in x along 1:
        h = cell(x_t, h)
    return h
"""
    checked = model(text)
    lowered = in_int8(checked)
    assert kinds(lowered).count("MatMulInteger") >= 2
    x = np.random.default_rng(0).standard_normal((2, 9, 8)).astype(np.float32)
    (expected,) = run(encode(build_model(checked.graph, draw_weights(checked.graph.weights(), 0))), x).values()
    (result,) = run(lowered.SerializeToString(), x).values()
    np.testing.assert_allclose(result, expected, atol=0.05)


def test_nothing_to_quantise_is_refused(model: Callable[..., Model]) -> None:
    with pytest.raises(Refusal) as caught:
        in_int8(model("model M(x: float[N, 8]) -> (y: float[N, 8]):\n    return relu(x)\n"))
    assert caught.value.diagnostics[0].code == "DL7010"


def test_two_exports_are_the_same_bytes(model: Callable[..., Model]) -> None:
    text = "model M(x: float[N, 8]) -> (y: float[N, 4]):\n    return x -> linear(16) -> relu -> linear(4)\n"
    for lower in (in_int8, halved):
        assert lower(model(text)).SerializeToString() == lower(model(text)).SerializeToString()
