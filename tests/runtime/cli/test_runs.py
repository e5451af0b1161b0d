"""From a spec to a run, its measures, its export, and its outputs in onnxruntime."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

from dlc.runtime.cli.group import commands

SPEC = """\
let width = 8

model Flower(x: float[N, d], kinds = 3) -> (logits: float[N, kinds]):
    return x -> linear(width) -> relu -> linear(kinds)

data Iris:
    source = sklearn("iris")
    x: float[4] = data
    kind: int[] < 3 = target
    split = (train=0.6, valid=0.2, test=0.2)

train Fit on Iris:
    net = Flower()
    settings:
        batch = 30
        epochs = 12
        optimizer = adamw(lr=0.02)
    step:
        logits = net(x)
        minimize cross_entropy(logits, kind)
        report accuracy = accuracy(logits, kind)
"""


def call(*arguments: str) -> Result:
    result = CliRunner().invoke(commands, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a spec, its run and its export."""
    folder = tmp_path_factory.mktemp("flowers")
    (folder / "flower.dl").write_text(SPEC)
    before = Path.cwd()
    os.chdir(folder)
    try:
        trained = call("train", "flower.dl", "-o", "run")
        assert trained.exit_code == 0, trained.stderr
        plan, *lines = trained.stdout.splitlines()
        assert plan.startswith("plan: memory kept")
        assert [line.split("  train: ")[0] for line in lines[:12]] == [
            f"epoch {number:2}/12" for number in range(1, 13)
        ]
        assert lines[-1].startswith("run: 12 epochs, 36 steps")
        exported = call("export", "run", "-o", "flower.onnx")
        assert exported.exit_code == 0, exported.stderr
        assert exported.stdout.startswith("flower.onnx: Flower(x: float[N, 4]) -> logits: float[N, 3]\ngives what")
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Calls a command in that folder."""
    monkeypatch.chdir(folder)
    return call


def measures(result: Result) -> dict[str, float]:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)["measures"]


def test_the_run_learned(there) -> None:
    assert measures(there("eval", "run", "--json"))["accuracy"] > 0.8


def test_the_test_part_is_the_default(there) -> None:
    assert there("eval", "run").stdout.startswith("test, by PyTorch: loss ")
    assert there("eval", "run").stdout == there("eval", "run", "--split", "test").stdout
    assert there("eval", "run", "--split", "valid").stdout.startswith("valid, by PyTorch: loss ")


def test_onnxruntime_measures_the_same(there) -> None:
    here, by_onnx = (measures(there("eval", "run", "--json", *options)) for options in ([], ["--onnx", "flower.onnx"]))
    assert here["accuracy"] == by_onnx["accuracy"]
    assert here["loss"] == pytest.approx(by_onnx["loss"], rel=1e-5)


def test_onnxruntime_is_what_measures(there, folder: Path) -> None:
    model = onnx.load(folder / "flower.onnx")
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            tensor.raw_data = bytes(len(tensor.raw_data))
    onnx.save(model, folder / "zero.onnx")
    by_zeros = measures(there("eval", "run", "--json", "--onnx", "zero.onnx"))
    assert by_zeros["loss"] == pytest.approx(np.log(3), rel=1e-6)


def test_an_unknown_part(there) -> None:
    result = there("eval", "run", "--split", "vaild")
    assert result.exit_code == 1
    assert "did you mean `valid`?" in result.stderr


def test_no_run(there) -> None:
    for command in (["eval", "nowhere"], ["export", "nowhere", "-o", "x.onnx"]):
        result = there(*command)
        assert result.exit_code == 1
        assert "error[DL8004]: there is no folder nowhere" in result.stderr


def test_a_run_is_not_overwritten(there, folder: Path) -> None:
    before = (folder / "run" / "model.safetensors").read_bytes()
    result = there("train", "flower.dl", "-o", "run")
    assert result.exit_code == 1
    assert "error[DL8005]" in result.stderr
    assert (folder / "run" / "model.safetensors").read_bytes() == before


def test_resuming_gives_what_training_at_once_gives(there, folder: Path) -> None:
    first = there("train", "flower.dl", "-o", "part", "--epochs", "5", "-q")
    assert first.stdout.startswith("part: 5 epochs, 15 steps")
    resumed = there("train", "flower.dl", "-o", "part", "--resume", "--epochs", "12", "--json")
    assert json.loads(resumed.stdout)["epochs"] == 12
    weights = [(folder / run / "model.safetensors").read_bytes() for run in ("run", "part")]
    assert weights[0] == weights[1]


def test_resuming_where_no_run_is_starts_one(there, folder: Path) -> None:
    result = there("train", "flower.dl", "-o", "fresh", "--resume", "--epochs", "1", "-q")
    assert result.exit_code == 0
    assert result.stdout.startswith("fresh: 1 epochs, 3 steps")


def test_a_run_of_another_width_is_not_resumed(there) -> None:
    result = there("train", "flower.dl", "-o", "run", "--resume", "--set", "width=9")
    assert result.exit_code == 1
    assert "error[DL8006]" in result.stderr


def test_a_choice_between_train_blocks(there, folder: Path) -> None:
    (folder / "two.dl").write_text(SPEC + SPEC[SPEC.index("train Fit") :].replace("Fit", "Again"))
    result = there("train", "two.dl", "-o", "two")
    assert result.exit_code == 2
    assert "two.dl declares several: Fit, Again; say which, as in two.dl:Fit" in result.stderr
    assert not (folder / "two").exists()


def test_the_export_keeps_open_what_the_model_leaves_open(there, folder: Path) -> None:
    (shape,) = (value.type.tensor_type.shape.dim for value in onnx.load(folder / "flower.onnx").graph.input)
    assert [size.dim_param or size.dim_value for size in shape] == ["N", 4]


def test_the_export_tells_programs_what_was_compared(there) -> None:
    document = json.loads(there("export", "run", "-o", "again.onnx", "--json").stdout)
    assert document["verified"] is True
    assert all(row["relative"] <= document["tolerance"] for row in document["compared"])
    assert json.loads(there("export", "run", "-o", "again.onnx", "--json", "--no-verify").stdout)["verified"] is False


def test_a_model_is_chosen_by_either_name(there) -> None:
    for name in ("net", "Flower"):
        assert there("export", "run", "-o", "again.onnx", "--no-verify", "--model", name).exit_code == 0
    result = there("export", "run", "-o", "again.onnx", "--model", "Flowers")
    assert result.exit_code == 1
    assert "did you mean Flower?" in result.stderr


def test_outputs_of_an_export_and_of_a_run_are_the_same(there) -> None:
    numbers = "[[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]"
    exported = json.loads(there("run", "flower.onnx", "--in", f"x={numbers}", "--json").stdout)
    assert np.shape(exported["logits"]) == (2, 3)
    assert exported == json.loads(there("run", "run", "--in", f"x={numbers}", "--json").stdout)


def test_outputs_as_text_and_in_files(there, folder: Path) -> None:
    np.save(folder / "x.npy", np.zeros((2, 4), np.float32))
    shown = there("run", "flower.onnx", "--in", "x=x.npy")
    assert shown.stdout.startswith("logits: float32[2, 3]\n[[")
    assert there("run", "flower.onnx", "--in", "x=x.npy", "-o", "out.npz").stdout == ""
    assert there("run", "flower.onnx", "--in", "x=x.npy", "-o", "out.npy").exit_code == 0
    with np.load(folder / "out.npz") as stored:
        np.testing.assert_array_equal(stored["logits"], np.load(folder / "out.npy"))


def test_what_json_has_no_number_for(there, folder: Path) -> None:
    np.save(folder / "endless.npy", np.array([[np.inf, 0, 0, 0]], np.float32))
    result = there("run", "flower.onnx", "--in", "x=endless.npy", "--json")
    assert result.exit_code == 0
    assert {type(value) for value in json.loads(result.stdout)["logits"][0]} == {str}


def test_wrong_inputs(there) -> None:
    unknown = there("run", "flower.onnx", "--in", "y=[[1, 2, 3, 4]]")
    assert (unknown.exit_code, "Flower has no input `y`" in unknown.stderr) == (2, True)
    wrong = there("run", "flower.onnx", "--in", "x=[[1, 2, 3]]")
    assert (wrong.exit_code, "error[DL81" in wrong.stderr) == (1, True)
    table = there("run", "flower.onnx", "--in", "x=[[1, 2, 3, 4]]", "-o", "out.txt")
    assert (table.exit_code, ".jsonl or .png" in table.stderr) == (2, True)
