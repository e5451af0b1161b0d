"""Emitted models: names, symbols, sharing, metadata, and what cannot be exported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from dlc.compiler.onnx import save
from dlc.compiler.onnx.emit import build_model, emit_model, save_model
from dlc.compiler.onnx.errors import NoOnnxOperator, OpenSize, WeightMismatch
from dlc.compiler.op import Op, operations
from dlc.compiler.program import Model
from dlc.compiler.types import DType
from dlc.compiler.weights import draw_weights
from dlc.grammar.diagnostics import Diagnostic, Refusal

Read = Callable[..., Model]

TIED = """
block Layer(x: float[N, T, d]) -> float[N, T, d]:
    h = x -> linear(2*d) -> relu -> linear(d)
    return x + h

# Predicts the next token.
model LM(tokens: int[N, T] < vocab, vocab = 11, width = 8) -> (logits: float[N, T, vocab]):
    require T <= 64, "a sequence may not be longer than 64"
    embed = embedding(vocab, width)
    layers = [Layer() for i in range(2)]
    h = embed(tokens)
    for layer in layers:
        h = h -> layer
    logits = h @ embed.weight.T
    return logits
"""


def emitted(model: Model) -> onnx.ModelProto:
    made = emit_model(model.graph, draw_weights(model.graph.weights(), 0))
    onnx.checker.check_model(made, full_check=True)
    return made


def sizes(value: onnx.ValueInfoProto) -> list[int | str]:
    return [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]


def refusals(model: Model, weights: dict[str, Any] | None = None) -> tuple[Diagnostic, ...]:
    with pytest.raises(Refusal) as caught:
        emit_model(model.graph, draw_weights(model.graph.weights(), 0) if weights is None else weights)
    return caught.value.diagnostics


def test_inputs_outputs_and_initialisers_have_the_names_of_the_spec(model: Read) -> None:
    spec = model(TIED)
    graph = emitted(spec).graph
    assert [value.name for value in graph.input] == ["tokens"]
    assert [value.name for value in graph.output] == ["logits"]
    stored = {tensor.name for tensor in graph.initializer}
    assert set(spec.graph.weights()) <= stored
    assert all(name.startswith("constant") for name in stored - set(spec.graph.weights()))
    names = [node.name for node in graph.node]
    assert len(set(names)) == len(names)
    assert "layers.1.linear_2/MatMul" in names or "layers.1.linear_2" in names


def test_a_tied_weight_is_stored_once(model: Read) -> None:
    graph = emitted(model(TIED)).graph
    assert [tensor.name for tensor in graph.initializer].count("embed.weight") == 1
    assert sum("embed.weight" in node.input for node in graph.node) == 2


def test_symbols_are_named_on_all_values_of_the_spec(model: Read) -> None:
    graph = emitted(model(TIED)).graph
    assert sizes(graph.input[0]) == ["N", "T"]
    assert sizes(graph.output[0]) == ["N", "T", 11]
    shapes = {value.name: sizes(value) for value in graph.value_info}
    assert shapes["layers.0/h"] == ["N", "T", 8]


def test_sizes_that_are_expressions_are_written_as_such(model: Read) -> None:
    text = "model M(x: float[N, 2*T - 1]) -> (y: float[N, T]):\n    return x[:, T - 1:]\n"
    graph = emitted(model(text)).graph
    assert sizes(graph.input[0]) == ["N", "2*T - 1"]
    assert sizes(graph.output[0]) == ["N", "T"]


def test_two_symbols_of_one_name_are_told_apart(model: Read) -> None:
    from dlc.compiler.dim import Dim
    from dlc.compiler.graph import Graph, Value
    from dlc.compiler.types import Tensor
    from dlc.grammar.source import Source, Span

    span = Span(Source("two.dl", ""), 0, 0)
    graph = Graph("Two", span)
    for name in "ab":
        graph.inputs[name] = Value(Tensor.of(Dim.symbol("N")), span, name)
    graph.outputs, graph.output_names = tuple(graph.inputs.values()), ("first", "second")
    made = emit_model(graph, {})
    onnx.checker.check_model(made, full_check=True)
    assert [sizes(value) for value in made.graph.output] == [["N"], ["N_2"]]


def test_nodes_tell_the_line_that_they_come_from(model: Read) -> None:
    graph = emitted(model(TIED)).graph
    lines = [entry.value for node in graph.node for entry in node.metadata_props if entry.key == "dlc.line"]
    assert len(lines) == len(graph.node)
    assert {line.rpartition("/")[2] for line in lines} == {f"spec.dl:{number}" for number in (3, 4, 11, 14)}


def test_the_model_describes_itself(model: Read) -> None:
    made = emitted(model(TIED))
    properties = {entry.key: entry.value for entry in made.metadata_props}
    assert made.producer_name == "dlc"
    assert properties["dlc.spec"] == "LM"
    assert json.loads(properties["dlc.ranges"]) == {"tokens": "11"}
    (check,) = json.loads(properties["dlc.checks"])
    assert (check["left"], check["relation"], check["right"]) == ("T", "<=", "64")
    assert made.graph.doc_string == "Predicts the next token."
    assert made.ir_version <= 11
    assert [(entry.domain, entry.version <= 23) for entry in made.opset_import] == [("", True)]


def test_equal_input_gives_equal_bytes(model: Read) -> None:
    first, second = (emitted(model(TIED)).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


def test_constants_are_stored_once(model: Read) -> None:
    text = "model M(x: float[N]) -> float[N]:\n    return (x * 3.5 + 3.5) * 3.5 - 1.5\n"
    assert sorted(onnx.numpy_helper.to_array(t).item() for t in emitted(model(text)).graph.initializer) == [1.5, 3.5]


def test_outputs_that_are_inputs_weights_or_twice_the_same_are_passed_through(model: Read) -> None:
    text = """
model M(x: float[N, 2]) -> (same: float[N, 2], w: float[2], y: float[N, 2], z: float[N, 2]):
    weight v: float[2] = 1
    y = relu(x)
    return x, v, y, y
"""
    graph = emitted(model(text)).graph
    assert [value.name for value in graph.output] == ["same", "w", "y", "z"]
    assert [node.op_type for node in graph.node] == ["Relu", "Identity", "Identity", "Identity"]


def test_what_training_alone_does_leaves_no_node(model: Read) -> None:
    graph = emitted(model("model M(x: float[N]) -> (y: float[N]):\n    return x -> relu -> dropout(0.5)\n")).graph
    assert [(node.op_type, list(node.output)) for node in graph.node] == [("Relu", ["y"])]


def test_weights_are_not_copied(model: Read) -> None:
    spec = model(TIED)
    weights = draw_weights(spec.graph.weights(), 0)
    built = build_model(spec.graph, weights)
    tensor = next(value.tensor for value in built.graph.initializers if value.name == "embed.weight")
    assert tensor is not None
    assert np.shares_memory(tensor.load(), weights["embed.weight"])


def test_all_operations_without_a_lowering_are_told_at_once(model: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("exp", "tanh"):
        monkeypatch.setattr(operations()[name], "no_onnx", "there is no such operator")
    found = refusals(model("model M(x: float[N]) -> float[N]:\n    y = exp(x)\n    return tanh(y)\n"))
    assert [type(diagnostic) for diagnostic in found] == [NoOnnxOperator, NoOnnxOperator]
    assert [diagnostic.span and diagnostic.span.line for diagnostic in found] == [2, 3]
    assert "`exp`" in found[0].message


def test_a_size_that_no_input_tells_is_refused_with_its_line(model: Read) -> None:
    text = "model M(x: float[H // 2]) -> float[H]:\n    y = relu(x)\n    return zeros(H)\n"
    (found,) = refusals(model(text))
    assert isinstance(found, OpenSize)
    assert found.span is not None
    assert found.span.line == 3
    assert "`H`" in found.message


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (None, "hold no `linear.weight`"),
        (np.zeros((3, 2), np.float32), r"is \[3, 2\], and \[2, 3\] is due"),
        (np.zeros((2, 3)), "is float64, and float32 is due"),
    ],
)
def test_weights_that_do_not_fit_are_refused(model: Read, array: Any, message: str) -> None:
    spec = model("model M(x: float[N, 3]) -> float[N, 2]:\n    return x -> linear(2, bias=false)\n")
    (found,) = refusals(spec, {} if array is None else {"linear.weight": array})
    assert isinstance(found, WeightMismatch)
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(found.message)


def test_a_lowering_that_gives_another_element_type_is_a_fault(model: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    def lower(self: Op, g: Any, x: Any) -> Any:
        return g.op("Cast", x, to=DType.INT)

    monkeypatch.setattr(operations()["relu"], "onnx", lower)
    with pytest.raises(TypeError, match=r"spec\.dl:2: .* lowers to int, not float"):
        emitted(model("model M(x: float[N]) -> float[N]:\n    return relu(x)\n"))


def test_a_model_is_saved_with_its_weights_beside_it_where_they_are_large(
    model: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = model("model M(x: float[N, 30]) -> (y: float[N, 20]):\n    return x -> linear(20)\n")
    weights = draw_weights(spec.graph.weights(), 0)
    folder = tmp_path / "out"
    folder.mkdir()
    save_model(build_model(spec.graph, weights), folder / "small.onnx")
    assert [path.name for path in folder.iterdir()] == ["small.onnx"]
    monkeypatch.setattr(save, "_MAX_FILE", 100)
    save_model(build_model(spec.graph, weights), folder / "large.onnx")
    assert sorted(path.name for path in folder.iterdir()) == ["large.onnx", "large.onnx.data", "small.onnx"]
    for name in ("small", "large"):
        stored = {tensor.name: tensor for tensor in onnx.load(folder / f"{name}.onnx").graph.initializer}
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(stored["linear.weight"]), weights["linear.weight"])
