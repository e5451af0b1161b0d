"""Exports in lower precision: what they cost in a run's own metrics, and when they are refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner, Result

from dlc.compiler.onnx import eight_bits
from dlc.runtime.cli.group import commands
from dlc.runtime.infer.losses import Drop
from dlc.runtime.infer.session import Session

SPEC = """\
model Classifier(image: float[N, 1, 8, 8]) -> (logits: float[N, 10]):
    h = image -> conv(8, 3) -> batch_norm -> relu -> conv(16, 3, stride=2) -> batch_norm -> relu
    return h -> flatten(start=1) -> linear(32) -> relu -> linear(10)

model Reader(tokens: int[N, T] < 17, width = 24) -> (logits: float[N, 10]):
    _, last, _ = tokens -> embedding(17, 16) -> lstm(width)
    return last -> linear(10)

block Layer(x: float[N, T, d]) -> float[N, T, d]:
    n = layer_norm(x)
    h = x + attention(n -> linear(d), n -> linear(d), n -> linear(d), causal=true)
    return h + (h -> layer_norm -> linear(2*d) -> gelu -> linear(d))

model GPT(tokens: int[N, T] < 17, width = 32) -> (logits: float[N, T, 17]):
    embed = embedding(17, width)
    h = embed(tokens) -> Layer -> Layer
    return layer_norm(h) @ embed.weight.T

data Digits:
    source = sklearn("digits")
    image: float[1, 8, 8] = images / 16
    row: int[64] < 17 = cast(reshape(images, [64]), "int")
    label: int[] < 10 = target
    split = (train=0.8, valid=0.2)

train Fit on Digits:
    net = Classifier()
    settings:
        batch = 64
        epochs = 3
        optimizer = adamw(lr=3e-3)
    step:
        logits = net(image)
        minimize cross_entropy(logits, label)
        report accuracy = accuracy(logits, label)
    classify(image: float[N, 1, 8, 8]):
        return softmax(net(image))

train Read on Digits:
    net = Reader()
    settings:
        batch = 64
        epochs = 1
        optimizer = adamw(lr=3e-3)
    step:
        logits = net(row)
        minimize cross_entropy(logits, label)
        report accuracy = accuracy(logits, label)

train Speak on Digits:
    net = GPT()
    settings:
        batch = 64
        epochs = 1
        optimizer = adamw(lr=3e-3)
    step:
        logits = net(row[:, :63])
        minimize cross_entropy(logits, row[:, 1:], axis=2)
"""


def call(*arguments: str) -> Result:
    result = CliRunner().invoke(commands, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs of the spec."""
    folder = tmp_path_factory.mktemp("precisions")
    (folder / "spec.dl").write_text(SPEC)
    before = Path.cwd()
    os.chdir(folder)
    for name in ("Fit", "Read", "Speak"):
        trained = call("train", f"spec.dl:{name}", "-o", name)
        assert trained.exit_code == 0, trained.stderr
    os.chdir(before)
    return folder


@pytest.fixture
def there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Calls a command in that folder."""
    monkeypatch.chdir(folder)
    return call


def exported(there: Callable[..., Result], run: str, *options: str) -> dict[str, Any]:
    result = there("export", run, "-o", "out.onnx", "--json", *options)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("options", "share"),
    [
        (["fp32"], (1.0, 1.0)),
        (["fp16"], (0.4, 0.7)),
        (["int8"], (0.2, 0.6)),
        (["int8", "--calibrate", "train"], (0.2, 0.6)),
    ],
    ids=["fp32", "fp16", "int8", "calibrated"],
)
def test_digits_in_every_precision(
    there: Callable[..., Result], options: list[str], share: tuple[float, float]
) -> None:
    told = exported(there, "Fit", "--precision", *options)
    lowered = told["lowered"]
    assert lowered["part"] == "valid"
    metrics = {each["metric"]: each for each in lowered["metrics"]}
    assert set(metrics) == {"loss", "accuracy"}
    assert all(each["drop"] <= 0.01 for each in metrics.values())
    sizes = lowered["bytes"]
    assert share[0] <= sizes[options[0]] / sizes["fp32"] <= share[1]
    assert 0 <= Path("out.onnx").stat().st_size - sizes[options[0]] < 1000  # what it says of the measures
    by_file = json.loads(there("eval", "Fit", "--onnx", "out.onnx", "--json").stdout)["measures"]
    by_torch = json.loads(there("eval", "Fit", "--json").stdout)["measures"]
    for name, each in metrics.items():
        assert each[options[0]] == pytest.approx(by_file[name], rel=1e-6)
        assert each["fp32"] == pytest.approx(by_torch[name], rel=1e-6)
    kept = {entry.key: entry.value for entry in onnx.load("out.onnx").metadata_props}
    assert json.loads(kept["dlc.precision"])["metrics"] == lowered["metrics"]


@pytest.mark.parametrize("run", ["Read", "Speak"])
@pytest.mark.parametrize("options", [["fp16"], ["int8"], ["int8", "--calibrate", "train"]], ids=" ".join)
def test_recurrent_and_attending_nets(there: Callable[..., Result], run: str, options: list[str]) -> None:
    lowered = exported(there, run, "--precision", *options)["lowered"]
    assert lowered["metrics"]
    assert all(each["drop"] <= 0.01 for each in lowered["metrics"])
    tokens = np.random.default_rng(0).integers(0, 17, (3, 29))
    (result,) = Session("out.onnx").run(tokens=tokens).values()
    assert result.dtype == np.float32
    kinds = {node.op_type for node in every(onnx.load("out.onnx").graph)}
    if options[0] == "int8" and run == "Read":
        assert "DynamicQuantizeLSTM" in kinds
    if options == ["int8"] and run == "Speak":
        assert "MatMulInteger" in kinds


@pytest.mark.parametrize("run", ["Read", "Speak"])
@pytest.mark.parametrize("options", [["fp32"], ["fp16"], ["int8"], ["int8", "--calibrate", "train"]], ids=" ".join)
def test_blocks_as_functions_in_every_precision(
    there: Callable[..., Result], run: str, options: list[str], tmp_path: Path
) -> None:
    exported(there, run, "--precision", *options)
    flat = tmp_path / "flat.onnx"
    Path("out.onnx").rename(flat)
    exported(there, run, "--functions", "--precision", *options)
    assert onnx.load("out.onnx").functions or run == "Read"  # whose spec has no blocks
    tokens = np.random.default_rng(0).integers(0, 17, (3, 29))
    (due,), (result,) = (list(Session(path).run(tokens=tokens).values()) for path in (flat, "out.onnx"))
    np.testing.assert_allclose(result, due, rtol=0, atol=0.02 * np.abs(due).max())


def every(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            yield from every(attribute.g)


def test_the_calibrated_file_convolves_in_integers(there: Callable[..., Result], tmp_path: Path) -> None:
    exported(there, "Fit", "--precision", "int8", "--calibrate", "train")
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    settings.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession("out.onnx", settings, ["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert sum(kind.startswith("QLinearConv") for kind in kinds) == 2
    assert "Conv" not in kinds


def test_what_loses_too_much_is_refused_and_nothing_is_written(
    there: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("refused.onnx").unlink(missing_ok=True)
    monkeypatch.setattr(eight_bits, "_LARGEST", 1)  # two bits a weight
    result = there("export", "Fit", "-o", "refused.onnx", "--precision", "int8", "--calibrate", "train")
    assert result.exit_code == 1
    assert result.stderr.count("error[DL7008]") == 1
    assert "and 1.00% is allowed" in result.stderr
    assert not Path("refused.onnx").exists()
    assert not list(Path.cwd().glob(".refused*"))
    passed = exported(there, "Fit", "--precision", "int8", "--calibrate", "train", "--max-drop", "100")["lowered"]
    assert max(each["drop"] for each in passed["metrics"]) > 0.01


def test_no_drop_at_all(there: Callable[..., Result]) -> None:
    result = there("export", "Read", "-o", "none.onnx", "--precision", "int8", "--max-drop", "0")
    if result.exit_code:
        assert result.stderr.count("error[DL7008]") == 1
    else:
        assert all(line.endswith("0.00%") for line in result.stdout.splitlines() if line.startswith(("loss", "acc")))


def test_bfloat16_is_refused_where_there_are_no_kernels(there: Callable[..., Result]) -> None:
    result = there("export", "Read", "-o", "none.onnx", "--precision", "bf16")
    assert result.exit_code == 1
    assert result.stderr.startswith("error[DL7009]: onnxruntime's provider CPU has no kernel for `")
    assert "in bfloat16, which spec.dl:" in result.stderr
    assert not Path("none.onnx").exists()


def test_an_unknown_provider(there: Callable[..., Result]) -> None:
    result = there("export", "Fit", "-o", "none.onnx", "--precision", "fp16", "--provider", "CPUU")
    assert result.exit_code == 1
    assert "error[DL8113]" in result.stderr
    assert not Path("none.onnx").exists()


def test_an_unknown_part(there: Callable[..., Result]) -> None:
    result = there("export", "Fit", "-o", "none.onnx", "--precision", "int8", "--calibrate", "trian")
    assert result.exit_code == 1
    assert "did you mean `train`?" in result.stderr


def test_a_procedure_is_measured_by_its_outputs(there: Callable[..., Result]) -> None:
    lowered = exported(there, "Fit", "--procedure", "classify", "--precision", "fp16")["lowered"]
    assert lowered["part"] is None
    assert lowered["metrics"] == []
    assert 0 < lowered["outputs"][0]["differs"] < 0.02
    refused = there(
        "export", "Fit", "-o", "none.onnx", "--procedure", "classify", "--precision", "fp16", "--max-drop", "1e-7"
    )
    assert refused.exit_code == 1
    assert "error[DL7008]" in refused.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--max-drop", "0.1"], "--max-drop goes with --precision"),
        (["--calibrate", "train", "--precision", "fp16"], "--calibrate goes with --precision int8"),
        (["--precision", "fp16", "--no-verify"], "--no-verify does not go with it"),
        (["--precision", "int8", "--calibrate", "train", "--procedure", "classify"], "--calibrate goes with a model"),
        (["--precision", "int4"], "Invalid value for '--precision'"),
    ],
)
def test_options_that_contradict(there: Callable[..., Result], options: list[str], told: str) -> None:
    result = there("export", "Fit", "-o", "none.onnx", *options)
    assert result.exit_code == 2
    assert told in result.stderr


@pytest.mark.parametrize(
    ("better", "before", "after", "drop"),
    [
        ("more", 0.8, 0.76, 0.05),
        ("more", 0.8, 0.9, 0.0),
        ("less", 2.0, 2.5, 0.25),
        ("less", 2.0, 1.0, 0.0),
        ("less", -2.0, -1.0, 0.5),
        (None, 2.0, 1.0, 0.5),
        (None, 2.0, 3.0, 0.5),
        ("less", 0.0, 0.1, np.inf),
        ("less", 0.0, 0.0, 0.0),
        ("less", 1.0, np.nan, np.inf),
        ("more", np.nan, np.nan, 0.0),
    ],
)
def test_what_a_drop_is(better: Any, before: float, after: float, drop: float) -> None:
    assert Drop("metric", before, after, better).drop == pytest.approx(drop)
