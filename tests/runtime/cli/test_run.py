"""`dlc run` on files: raw data of a run, batches, and what outputs are written to; `dlc bench`."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import helper, numpy_helper

from dlc.runtime.cli.group import commands

SPEC = """\
model Flower(x: float[N, d], kinds = 3) -> (logits: float[N, kinds]):
    return x -> linear(kinds)

data Iris:
    source = csv("iris.csv")
    petals: float[2] = stack(petal_length, petal_width)
    features: float[3] = concat(standardize(petals), stack(sepal_length / 10), axis=0)
    kind: int[] < 3 = kind
    split = (train=0.8, valid=0.2)

train Fit on Iris:
    net = Flower()
    settings:
        batch = 30
        epochs = 3
        optimizer = adamw(lr=0.02)
    step:
        logits = net(features)
        minimize cross_entropy(logits, kind)
"""
COLUMNS = ("sepal_length", "petal_length", "petal_width", "kind")


def call(*arguments: str) -> Result:
    result = CliRunner().invoke(commands, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a spec, its data and its run."""
    folder = tmp_path_factory.mktemp("flowers")
    (folder / "flower.dl").write_text(SPEC)
    random = np.random.default_rng(0)
    rows = [[f"{value:.1f}" for value in row] for row in random.uniform(0, 8, (150, 3))]
    with (folder / "iris.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *([*row, place % 3] for place, row in enumerate(rows))])
    before = Path.cwd()
    os.chdir(folder)
    try:
        trained = call("train", "flower.dl", "-o", "run", "-q")
        assert trained.exit_code == 0, trained.stderr
        exported = call("export", "run", "-o", "flower.onnx", "--no-verify")
        assert exported.exit_code == 0, exported.stderr
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def there(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Calls a command in that folder."""
    monkeypatch.chdir(folder)
    return call


def raw(folder: Path, name: str, count: int = 7) -> np.ndarray:
    """A file of the same columns without the labels, in another order; its numbers."""
    values = np.random.default_rng(1).uniform(0, 8, (count, 3)).astype(np.float32).round(1)
    with (folder / name).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["petal_width", "sepal_length", "petal_length"])
        writer.writerows(values[:, [2, 0, 1]].tolist())
    return values


def expected(folder: Path, values: np.ndarray) -> np.ndarray:
    """The logits by NumPy: standardised as scikit-learn would with the statistics of the run, and one matrix."""
    statistics = json.loads((folder / "run" / "config.json").read_text())["data"]["statistics"]
    petals = (values[:, 1:] - statistics["features.mean"]) / statistics["features.std"]
    features = np.concatenate([petals, values[:, :1] / 10], axis=1)
    stored = {
        tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(folder / "flower.onnx").graph.initializer
    }
    return features @ stored["linear.weight"].T.reshape(3, 3) + stored["linear.bias"]


@pytest.mark.parametrize("batch", ["1", "3", "256"])
def test_raw_data_is_made_into_inputs_as_in_training(there, folder: Path, batch: str) -> None:
    values = raw(folder, "new.csv")
    result = there("run", "run", "--data", "new.csv", "--batch", batch, "--json")
    assert result.exit_code == 0, result.stderr
    np.testing.assert_allclose(json.loads(result.stdout)["logits"], expected(folder, values), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ending", ["npz", "npy", "csv", "jsonl"])
def test_results_go_to_files_of_every_kind(there, folder: Path, ending: str) -> None:
    values = raw(folder, "new.csv")
    result = there("run", "run", "--data", "new.csv", "--batch", "2", "-o", f"out.{ending}")
    assert result.exit_code == 0, result.stderr
    path = folder / f"out.{ending}"
    match ending:
        case "npz":
            with np.load(path) as stored:
                found = stored["logits"]
        case "npy":
            found = np.load(path)
        case "csv":
            assert path.read_text().startswith("logits_0,logits_1,logits_2\n")
            found = np.loadtxt(path, delimiter=",", skiprows=1)
        case _:
            found = np.array([json.loads(line)["logits"] for line in path.read_text().splitlines()])
    np.testing.assert_allclose(found, expected(folder, values), rtol=1e-4, atol=1e-5)
    assert not [*folder.glob(".out*")]


def test_raw_data_that_does_not_fit(there, folder: Path) -> None:
    (folder / "short.csv").write_text("petal_width,petal_lenght,sepal_length\n1,2,3\n")
    missing = there("run", "run", "--data", "short.csv")
    assert missing.exit_code == 1
    assert "short.csv has no column `petal_length`" in missing.stderr
    assert "did you mean `petal_lenght`?" in missing.stderr
    (folder / "words.csv").write_text("petal_width,petal_length,sepal_length\n1,long,3\n")
    words = there("run", "run", "--data", "words.csv", "-o", "never.npz")
    assert words.exit_code == 1
    assert "column `petal_length` of words.csv holds words, and float[] is due" in words.stderr
    assert not (folder / "never.npz").exists()
    gone = there("run", "run", "--data", "gone.csv")
    assert (gone.exit_code, "there is no file gone.csv" in gone.stderr) == (1, True)


def test_raw_data_needs_a_run(there) -> None:
    result = there("run", "flower.onnx", "--data", "iris.csv")
    assert (result.exit_code, "--data needs a run" in result.stderr) == (2, True)
    both = there("run", "run", "--data", "iris.csv", "--in", "x=[[1, 2, 3]]")
    assert (both.exit_code, "either --data or --in" in both.stderr) == (2, True)


def test_batches_of_a_file_give_what_all_at_once_gives(there, folder: Path) -> None:
    np.save(folder / "x.npy", np.random.default_rng(2).normal(size=(10, 3)).astype(np.float32))
    whole = json.loads(there("run", "flower.onnx", "--in", "x=x.npy", "--json").stdout)
    batches = json.loads(there("run", "flower.onnx", "--in", "x=x.npy", "--batch", "3", "--json").stdout)
    np.testing.assert_allclose(batches["logits"], whole["logits"], rtol=1e-5)
    twice = there("run", "flower.onnx", "--in", "x=x.npy", "--in", "x=x.npy")
    assert (twice.exit_code, "given twice" in twice.stderr) == (2, True)


def test_a_model_in_this_process_or_within_limits(there) -> None:
    numbers = "x=[[1, 2, 3]]"
    usual = there("run", "flower.onnx", "--in", numbers, "--json").stdout
    assert there("run", "flower.onnx", "--in", numbers, "--trust", "--threads", "1", "--json").stdout == usual
    assert there("run", "flower.onnx", "--in", numbers, "--memory", "2GB", "--seconds", "5", "--json").stdout == usual
    assert there("run", "flower.onnx", "--in", numbers, "--memory", "lots").exit_code == 2
    for _ in range(2):
        assert there("run", "flower.onnx", "--in", numbers, "--prepared", "--json").stdout == usual
    assert there("run", "run", "--in", numbers, "--prepared").exit_code == 2
    unknown = there("run", "flower.onnx", "--in", numbers, "--provider", "CPUU")
    assert (unknown.exit_code, "did you mean CPU?" in unknown.stderr) == (1, True)


def test_the_best_class_is_named(there, folder: Path) -> None:
    values = raw(folder, "new.csv")
    (folder / "names.txt").write_text("setosa\nversicolor\nvirginica\n")
    for name in ("virginica", "setosa", "versicolor"):
        (folder / "classes" / name).mkdir(parents=True, exist_ok=True)
    due = np.array(["setosa", "versicolor", "virginica"])[expected(folder, values).argmax(1)].tolist()
    for place in ("names.txt", "classes"):
        found = there("run", "run", "--data", "new.csv", "--labels", place, "--json")
        assert json.loads(found.stdout)["logits_label"] == due
    written = there("run", "run", "--data", "new.csv", "--batch", "2", "--labels", "names.txt", "-o", "named.npz")
    assert written.exit_code == 0, written.stderr
    with np.load(folder / "named.npz") as stored:
        assert stored["logits_label"].tolist() == due
    assert due[0] in there("run", "run", "--data", "new.csv", "--labels", "names.txt").stdout
    (folder / "two.txt").write_text("a\nb\n")
    for wrong in ("two.txt", "none.txt"):
        assert there("run", "run", "--data", "new.csv", "--labels", wrong).exit_code == 2


def test_images_go_to_a_picture(there, folder: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    (folder / "pictures").mkdir()
    for name, grey in (("a", 0), ("b", 102)):
        pillow.fromarray(np.full((64, 64), grey, np.uint8)).save(folder / "pictures" / f"{name}.png")
    (folder / "negative.dl").write_text(
        "model Negative(x: float[N, 1, H, W]) -> (y: float[N, 1, H, W]):\n    return 1 - x\n"
    )
    compiled = there("compile", "negative.dl", "--to", "onnx", "-o", "negative.onnx")
    assert compiled.exit_code == 0, compiled.stderr
    for batch in ([], ["--batch", "1"]):
        result = there("run", "negative.onnx", "--in", "x=pictures", *batch, "-o", "out.png")
        assert result.exit_code == 0, result.stderr
        with pillow.open(folder / "out.png") as image:
            pixels = np.asarray(image)
        assert (pixels[0, 0], pixels[0, -1], pixels.shape) == (255, 153, (64, 130))
    refused = there("run", "flower.onnx", "--in", "x=[[1, 2, 3]]", "-o", "out.png")
    assert (refused.exit_code, "a picture is of one output" in refused.stderr) == (2, True)


def test_outputs_that_do_not_fit_a_format(there, folder: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0), helper.make_node("Relu", ["x"], ["y"])],
        "two",
        [helper.make_tensor_value_info("x", 1, ["N", 2, 2])],
        [helper.make_tensor_value_info("y", 1, ["N", 2, 2]), helper.make_tensor_value_info("total", 1, [])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    (folder / "two.onnx").write_bytes(made.SerializeToString())
    given = "x=[[[1, 2], [3, 4]]]"
    assert there("run", "two.onnx", "--in", given, "-o", "two.npz").exit_code == 0
    for name, words in (("two.npy", "one array"), ("two.jsonl", "one example after the other"), ("two.csv", "two.csv")):
        result = there("run", "two.onnx", "--in", given, "-o", name)
        assert (result.exit_code, words in result.stderr) == (2, True), result.stderr
        assert not (folder / name).exists()


def test_bench_measures_every_combination(there) -> None:
    how = ("--for", "0.05", "--warm-up", "0", "--json", "--threads", "1")
    result = there("bench", "flower.onnx", "--batch", "1,4", *how)
    assert result.exit_code == 0, result.stderr
    rows = json.loads(result.stdout)
    assert [(row["provider"], row["sizes"]) for row in rows] == [("CPU", {"N": 1}), ("CPU", {"N": 4})]
    for row in rows:
        assert 0 < row["p50"] <= row["p90"] <= row["p99"]
        assert row["runs"] >= 10
        assert row["throughput"] == pytest.approx(row["sizes"]["N"] / row["mean"])
    table = there("bench", "run", "--batch", "2", *how[:4])
    assert table.exit_code == 0, table.stderr
    assert "p99" in table.stdout
    assert "examples/s" in table.stdout


def test_bench_asks_for_sizes(there, folder: Path) -> None:
    (folder / "open.dl").write_text(
        "model Open(x: int[B, 2*T] < 5, y: bool[T]) -> (z: int[B, 2*T]):\n    require T >= 2\n    return x\n"
    )
    assert there("compile", "open.dl", "--to", "onnx", "-o", "open.onnx").exit_code == 0
    how = ("--for", "0.01", "--warm-up", "0", "--json", "--batch", "3")
    missing = there("bench", "open.onnx", *how)
    assert (missing.exit_code, "--size T=128" in missing.stderr) == (2, True)
    unknown = there("bench", "open.onnx", "--size", "t=4", *how)
    assert (unknown.exit_code, "did you mean `T`?" in unknown.stderr) == (2, True)
    found = there("bench", "open.onnx", "--size", "T=2,4", *how)
    assert [row["sizes"] for row in json.loads(found.stdout)] == [{"B": 3, "T": 2}, {"B": 3, "T": 4}]
    broken = there("bench", "open.onnx", "--size", "T=1", *how)
    assert (broken.exit_code, "DL8108" in broken.stderr) == (1, True)
    for wrong in ("T=0", "T=x", "T=1,,2"):
        assert there("bench", "open.onnx", "--size", wrong, *how).exit_code == 2
