"""Sessions: what is opened, and which inputs are taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import dlc
from dlc.compiler.onnx.emit import build_model, save_model
from dlc.compiler.program import Model
from dlc.compiler.weights import draw_weights
from dlc.grammar.diagnostics import Diagnostic, Refusal
from dlc.runtime.infer import errors
from dlc.runtime.infer.engine import started
from dlc.runtime.infer.session import Session

Read = Callable[..., Model]

SCORES = """
model Scores(tokens: int[N, T] < vocab, mask: float[N, T], wide: float[2*T - 1, 3], vocab = 5)
        -> (scores: float[N, T], total: float[]):
    require T <= 6, "a sequence may not be longer than 6"
    embed = embedding(vocab, 1)
    scores = squeeze(embed(tokens), axis=2) * mask
    return scores, sum(wide)
"""


def fitting() -> dict[str, Any]:
    return {
        "tokens": np.array([[0, 4, 2]]),
        "mask": np.ones((1, 3), np.float32),
        "wide": np.ones((5, 3), np.float32),
    }


def refused(path: Path, **changes: Any) -> list[Diagnostic]:
    given = {name: value for name, value in (fitting() | changes).items() if value is not None}
    with pytest.raises(Refusal) as caught:
        Session(path, threads=1).call(given)
    return list(caught.value.diagnostics)


def test_a_model_tells_its_inputs_and_computes_its_outputs(export: Callable[[str], Path]) -> None:
    session = Session(export(SCORES), threads=1)
    assert session.name == "Scores"
    assert [(port.name, str(port)) for port in session.inputs] == [
        ("tokens", "int[N, T] < 5"),
        ("mask", "float[N, T]"),
        ("wide", "float[2*T - 1, 3]"),
    ]
    assert [port.name for port in session.outputs] == ["scores", "total"]
    results = session.run(**fitting())
    embedding = onnx.load(export(SCORES)).graph.initializer
    (weight,) = (onnx.numpy_helper.to_array(tensor) for tensor in embedding if tensor.name == "embed.weight")
    np.testing.assert_allclose(results["scores"], weight[[[0, 4, 2]], 0], rtol=1e-6)
    assert results["total"] == 15


def test_lists_and_safe_casts_are_taken(export: Callable[[str], Path]) -> None:
    session = Session(export(SCORES), threads=1)
    given = fitting()
    given["tokens"] = given["tokens"].astype(np.int32)
    given["mask"] = [[1, 1.0, 1]]
    np.testing.assert_array_equal(session.run(**given)["scores"], session.run(**fitting())["scores"])


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"mask": None, "maks": [[1, 1, 1]]}, errors.UnknownInput, "no input `maks`"),
        ({"mask": None}, errors.UnknownInput, "`mask` is missing"),
        ({"mask": np.ones((1, 3))}, errors.InputType, "`mask` is float64"),
        ({"tokens": np.ones((1, 3), np.float32)}, errors.InputType, "`tokens` is float32"),
        ({"mask": np.ones(3, np.float32)}, errors.InputShape, "`mask` has 1 axis, and 2 are due"),
        ({"mask": np.ones((1, 4), np.float32)}, errors.InputShape, "4 along axis 1, and T, which is 3, is due"),
        ({"wide": np.ones((5, 4), np.float32)}, errors.InputShape, "4 along axis 1, and 3 is due"),
        ({"wide": np.ones((6, 3), np.float32)}, errors.InputShape, "and 2*T - 1, which is 5, is due"),
        ({"tokens": np.array([[0, 5, 2]])}, errors.InputRange, "`tokens` holds 5"),
        ({"tokens": np.array([[0, -1, 2]])}, errors.InputRange, "`tokens` holds -1"),
    ],
)
def test_what_does_not_fit_is_refused(
    export: Callable[[str], Path], changes: dict[str, Any], kind: type[Diagnostic], words: str
) -> None:
    (found,) = refused(export(SCORES), **changes)
    assert type(found) is kind
    assert words in found.message


def test_the_nearest_name_is_suggested(export: Callable[[str], Path]) -> None:
    (found,) = refused(export(SCORES), mask=None, maks=[[1, 1, 1]])
    assert found.help == "did you mean `mask`?"


def test_a_requirement_of_the_spec_is_checked(export: Callable[[str], Path]) -> None:
    long = {
        "tokens": np.zeros((1, 7), np.int64),
        "mask": np.ones((1, 7), np.float32),
        "wide": np.ones((13, 3), np.float32),
    }
    (found,) = refused(export(SCORES), **long)
    assert type(found) is errors.RequirementFailed
    assert found.message == "a sequence may not be longer than 6"
    assert "spec.dl:4: T <= 6" in found.notes[0]


def test_a_symbol_within_an_expression_alone_is_solved_for(export: Callable[[str], Path]) -> None:
    text = 'model M(x: float[2*T - 1]) -> (y: float[2*T - 1]):\n    require T <= 3, "too long"\n    return relu(x)\n'
    session = Session(export(text), threads=1)
    assert session.run(x=np.ones(5, np.float32))["y"].shape == (5,)
    with pytest.raises(Refusal, match="too long"):
        session.run(x=np.ones(7, np.float32))


def damaged(path: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    made = onnx.load(path)
    change(made)
    onnx.save(made, path)
    return path


def undescribed(made: onnx.ModelProto) -> None:
    del made.metadata_props[:]


def hostile(made: onnx.ModelProto) -> None:
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "__import__('os').system('true')"


@pytest.mark.parametrize(
    ("change", "kind"),
    [(undescribed, errors.UnreadableModel), (hostile, errors.UnreadableModel)],
)
def test_damaged_models_are_refused(
    export: Callable[[str], Path], change: Callable[[onnx.ModelProto], None], kind: type[Diagnostic]
) -> None:
    with pytest.raises(Refusal) as caught:
        Session(damaged(export(SCORES), change))
    assert [type(diagnostic) for diagnostic in caught.value.diagnostics] == [kind]


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("hello")
    told: list[str | None] = []
    for path in (tmp_path / "text.onnx", tmp_path / "missing.onnx", tmp_path, tmp_path / "net.dl"):
        with pytest.raises(Refusal) as caught:
            Session(path)
        (diagnostic,) = caught.value.diagnostics
        assert type(diagnostic) is errors.UnreadableModel
        told.append(diagnostic.help)
    assert told[:2] == [None, None]
    assert f"`dlc export {tmp_path} -o" in str(told[2])
    assert f"`dlc compile {tmp_path}/net.dl --to onnx" in str(told[3])


@pytest.mark.parametrize("trusted", [False, True])
def test_where_it_runs_makes_no_difference(export: Callable[[str], Path], trusted: bool) -> None:
    with Session(export(SCORES), threads=1, trusted=trusted, spinning=False) as session:
        results = session.run(**fitting())
        assert results["total"] == 15
        assert results["total"].shape == ()
        empty = session.run(
            tokens=np.zeros((0, 3), np.int64), mask=np.zeros((0, 3), np.float32), wide=np.ones((5, 3), np.float32)
        )
        assert empty["scores"].shape == (0, 3)
        taken = session.time(fitting(), least=5, seconds=0, warm=0)
        assert len(taken) == 5
        assert min(taken) > 0


@pytest.mark.parametrize("name", ["CPU", "cpu", "CPUExecutionProvider"])
def test_a_provider_has_several_names(export: Callable[[str], Path], name: str) -> None:
    assert Session(export(SCORES), threads=1, provider=name).run(**fitting())["total"] == 15


@pytest.mark.parametrize("trusted", [False, True])
def test_an_unknown_provider_is_refused(export: Callable[[str], Path], trusted: bool) -> None:
    with pytest.raises(Refusal) as caught:
        Session(export(SCORES), provider="CPUU", trusted=trusted)
    (found,) = caught.value.diagnostics
    assert type(found) is errors.UnknownProvider
    assert found.help == "did you mean CPU?"
    assert "CPU" in found.notes[0]


def test_a_provider_that_does_not_start_is_refused() -> None:
    with pytest.raises(Refusal, match="does not start here"):
        started(["CPUExecutionProvider"], "CUDAExecutionProvider")
    started(["CUDAExecutionProvider", "CPUExecutionProvider"], "CUDAExecutionProvider")


def test_a_model_of_somebody_else_is_run(tmp_path: Path) -> None:
    """Its sizes may have any names, or none; of an input without a shape all are taken."""
    names = {"x": ["batch size", 2], "z": ["batch size", None], "w": None}
    made = helper.make_model(
        helper.make_graph(
            [helper.make_node("Add", ["x", "z"], ["y"]), helper.make_node("Identity", ["w"], ["v"])],
            "foreign",
            [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in names.items()],
            [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in "yv"],
        ),
        opset_imports=[helper.make_opsetid("", 21)],
        ir_version=10,
        producer_name="pytorch",
    )
    onnx.save(made, tmp_path / "foreign.onnx")
    with Session(tmp_path / "foreign.onnx") as session:
        assert [str(port) for port in session.inputs] == ["float[batch size, 2]", "float[batch size, ?1]", "float[...]"]
        given = {"x": np.ones((3, 2), np.float32), "z": np.ones((3, 1), np.float32), "w": np.float32(7)}
        results = session.call(given)
        np.testing.assert_array_equal(results["y"], np.full((3, 2), 2))
        assert results["v"] == 7
        with pytest.raises(Refusal, match="batch size, which is 3, is due"):
            session.call({**given, "z": np.ones((2, 1), np.float32)})


@pytest.mark.parametrize("trusted", [False, True])
def test_where_onnxruntime_stops_the_line_is_told(
    export: Callable[[str], Path], trusted: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    text = "model M(x: float[N, 1, H, W]) -> (y: float[N, 4, H, W]):\n    x = relu(x)\n    return x -> conv(4, 3)\n"
    path = export(text)
    with pytest.raises(Refusal) as caught:
        Session(path, threads=1, trusted=trusted).run(x=np.ones((1, 1, 0, 5), np.float32))
    (found,) = caught.value.diagnostics
    assert type(found) is errors.RunFailed
    assert "spec.dl:3" in found.message
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("layer", ["y, h = x -> gru(4)", "y, h, c = x -> lstm(4)", "y, h = x -> rnn(4)"])
@pytest.mark.parametrize(("sizes", "symbol"), [((0, 5), "N"), ((2, 0), "T")])
def test_empty_sequences_are_refused_before_onnxruntime_ends_the_process(
    model: Read, tmp_path: Path, layer: str, sizes: tuple[int, int], symbol: str
) -> None:
    made = model(f"model M(x: float[N, T, 3]) -> (y: float[N, T, 4]):\n    {layer}\n    return y\n")
    path = tmp_path / "model.onnx"
    save_model(build_model(made.graph, draw_weights(made.graph.weights(), 0)), path)
    with pytest.raises(Refusal) as caught:
        Session(path, trusted=True).run(x=np.zeros((*sizes, 3), np.float32))
    assert f"{symbol} >= 1" in "".join(caught.value.diagnostics[0].notes)


def test_a_model_whose_sizes_have_signs_in_their_names_reads_them_back(tmp_path: Path) -> None:
    (tmp_path / "spec.dl").write_text(
        "model Words(word: int[...] < 10, x: float[N, T']) -> (vector: float[..., 4], y: float[N, 2*T']):\n"
        "    return embedding(word, 10, 4), concat(x, x, axis=1)\n"
    )
    (tmp_path / "words.onnx").write_bytes(dlc.load(tmp_path / "spec.dl").onnx("Words").SerializeToString())
    session = dlc.Session(tmp_path / "words.onnx")
    assert [str(size) for port in session.inputs for size in port.shape] == ["…", "N", "T'"]
    assert [str(size) for port in session.outputs for size in port.shape] == ["…", "4", "N", "2*T'"]
    found = session.call({"word": np.arange(3), "x": np.ones((2, 5), np.float32)})
    assert (found["vector"].shape, found["y"].shape) == ((3, 4), (2, 10))
