"""What each line of a mapping does with tensors, and what is told of one that does not fit."""

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file
from torch import nn

from dlc.grammar.diagnostics import Refusal
from dlc.runtime.mapping.load import Loaded, load_weights
from dlc.runtime.spec import read_checked

TWO = """\
model Two(x: float[N, 3]) -> (y: float[N, 2]):
    return x -> linear(4) -> relu -> linear(2)

model Other(x: float[N, 3]) -> (y: float[N, 2]):
    return x -> linear(2)
"""
RANDOM = np.random.default_rng(0)
A, B = RANDOM.normal(size=(4, 3)).astype(np.float32), RANDOM.normal(size=4).astype(np.float32)
C, D = RANDOM.normal(size=(2, 4)).astype(np.float32), RANDOM.normal(size=2).astype(np.float32)
SECOND = {"1.w": C, "1.b": D}
LINES = "1.w -> linear_2.weight\n1.b -> linear_2.bias\n"
BOTH = {"0.w": A, "0.b": B, **SECOND}
ALL = "{0,1}.w -> {linear,linear_2}.weight\n{0,1}.b -> {linear,linear_2}.bias\n"


def load(folder: Path, tensors: dict[str, np.ndarray], mapping: str, model: str = "Two") -> Loaded:
    (folder / "two.dl").write_text(TWO)
    (folder / "two.map").write_text(mapping)
    save_arrays({name: np.ascontiguousarray(array) for name, array in tensors.items()}, folder / "two.safetensors")
    models = read_checked(folder / "two.dl").models
    return load_weights(models[model], folder / "two.safetensors", folder / "two.map", models=models)


def refused(folder: Path, tensors: dict[str, np.ndarray], mapping: str, model: str = "Two") -> list[str]:
    with pytest.raises(Refusal) as caught:
        load(folder, tensors, mapping, model)
    for diagnostic in caught.value.diagnostics:
        assert diagnostic.span is None or diagnostic.span.source.name.endswith("two.map")
    return [
        f"{diagnostic.code} {diagnostic.span.line if diagnostic.span else '-'} {diagnostic.message}"
        for diagnostic in caught.value.diagnostics
    ]


@pytest.mark.parametrize(
    ("tensors", "mapping"),
    [
        (BOTH, ALL),
        (BOTH, ALL.replace("\n", "\r\n")),
        ({"w": A.T, "0.b": B, **SECOND}, "w -> transpose -> linear.weight\n0.b -> linear.bias\n" + LINES),
        ({"w": A.reshape(4, 3, 1), "b": B, **SECOND}, "w -> reshape -> linear.weight\nb -> linear.bias\n" + LINES),
        ({"w": A.astype(np.float64), "b": B, **SECOND}, "w -> cast -> linear.weight\nb -> linear.bias\n" + LINES),
        (
            {"low.w": A[:1], "high.w": A[1:], "b": B, **SECOND},
            "{low,high}.w -> concat(axis=0) -> linear.weight\nb -> linear.bias\n" + LINES,
        ),
        (
            {"low.w": A[:, :1].T, "high.w": A[:, 1:].T, "b": B, **SECOND},
            "{low,high}.w -> concat(axis=0) -> transpose -> linear.weight\nb -> linear.bias\n" + LINES,
        ),
        (
            {"w": A, "0.b": np.concatenate([D, B]), "1.w": C},
            "w -> linear.weight\n0.b -> split(axis=0) -> {linear_2,linear}.bias\n1.w -> linear_2.weight\n",
        ),
        ({f"net.{name}": array for name, array in BOTH.items()}, "prefix net.\n" + ALL),
        ({f"net.{name}": array for name, array in BOTH.items()}, "optional prefix net. -> body.\n" + ALL),
        (BOTH, "optional prefix net.\n" + ALL),
        ({"net.0.w": A, "net.0.b": B, **SECOND}, "prefix net.\n0.{w,b} -> linear.{weight,bias}\nno prefix\n" + LINES),
        (BOTH | {"mask.3": D}, ALL + "ignore mask.{i}  # of no use\n"),
        (BOTH | {"a.b.c": D, "a.d": D}, ALL + "ignore a.{rest...}\n"),
        (BOTH, ALL + "optional ignore mask.{i}\noptional head.{p} -> linear.{p}\n"),
        (BOTH | {"again": C}, ALL + "again == linear_2.weight\n"),
        (BOTH | {"again": C.T}, ALL + "optional again -> transpose == linear_2.weight\n"),
        (BOTH, "model Other\n1.w -> linear.weight\nmodel Two\n" + ALL),
        (
            {"linear.x.linear": A, "linear.x.linear_2": C, "0.b": B, "1.b": D},
            "{m}.x.{m} -> {m}.weight\nlinear.x.linear_2 -> linear_2.weight\n" + ALL.partition("\n")[2],
        ),
    ],
)
def test_what_lines_do(tensors: dict[str, np.ndarray], mapping: str, tmp_path: Path) -> None:
    loaded = load(tmp_path, tensors, mapping)
    expected = {"linear.weight": A, "linear.bias": B, "linear_2.weight": C, "linear_2.bias": D}
    assert list(loaded.weights) == list(expected)
    for path, array in expected.items():
        np.testing.assert_array_equal(loaded.weights[path], array)
        assert loaded.weights[path].dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_element_types_widen(dtype: type, tmp_path: Path) -> None:
    halves = {name: array.astype(dtype) for name, array in BOTH.items()}
    loaded = load(tmp_path, halves, ALL)
    np.testing.assert_array_equal(loaded.weights["linear.weight"], A.astype(dtype).astype(np.float32))


def test_what_is_left_out_is_on_record(tmp_path: Path) -> None:
    tensors = SECOND | {"mask": D, "again": C}
    loaded = load(tmp_path, tensors, LINES + "ignore mask\nagain == linear_2.weight\ninitial linear.{p}\n")
    assert (loaded.used, loaded.ignored, loaded.again) == (2, ("mask",), ("again",))
    assert loaded.initial == ("linear.weight", "linear.bias")
    assert np.abs(loaded.weights["linear.weight"]).max() > 0


def test_the_same_tensor_may_serve_two_weights(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"w": A, "b": B, **SECOND} | {"1.b": D}, "w -> linear.weight\nb -> linear.bias\n" + LINES)
    assert loaded.used == 4
    shared = {"w": A[:2], "b": D}
    assert load(tmp_path, shared, "w -> linear.weight\nb -> linear.bias\n", "Other").used == 2


@pytest.mark.parametrize(
    ("tensors", "mapping", "expected"),
    [
        (BOTH, ALL + "2.w -> linear_3.weight", ["DL8204 3 the file holds no tensor `2.w`"]),
        (BOTH, ALL + "ignore mask.{i}", ["DL8204 3 the file holds no tensor `mask.{i}`"]),
        (BOTH, ALL + "initial linear_3.{p}", ["DL8204 3 the model has no weight `linear_3.{p}`"]),
        (BOTH, "prefix net.\n" + ALL, ["DL8204 1 no tensor of the file begins with `net.`"]),
        (BOTH, "{i}.w -> linear.{i}", ["DL8204 1 the model has no weight `linear.0`"]),
        (
            {"low": A[:1], **SECOND},
            "{low,high} -> concat(axis=0) -> linear.weight",
            ["DL8204 1 the file holds `low`, and no `high` to join it with"],
        ),
        (BOTH | {"2.w": A}, ALL + "2.w -> linear.weight", ["DL8205 3 `linear.weight` is given twice"]),
        (BOTH, ALL + "initial linear.weight", ["DL8205 1 `linear.weight` is given twice"]),
        (BOTH, ALL + "ignore {n}.w", ["DL8205 3 `0.w` is used, and ignored too"]),
        (BOTH | {"mask": D}, ALL, ["DL8208 - no line of the mapping speaks of `mask`"]),
        (
            BOTH | {"mask": D, "x": D, "y": D},
            ALL,
            ["DL8208 - no line of the mapping speaks of `mask`, nor of 2 others"],
        ),
        (SECOND, LINES, ["DL8209 - nothing is given to the weight `linear.weight`, nor to 1 other"]),
        (BOTH | {"0.w": A.T}, ALL, ["DL8206 1 `0.w` gives [3, 4], and `linear.weight` is [4, 3]"]),
        (BOTH | {"0.w": A.astype(np.float64)}, ALL, ["DL8206 1 `0.w` holds F64, and `linear.weight` is float32"]),
        (BOTH | {"0.w": A.astype(np.int8)}, ALL, ["DL8206 1 `0.w` holds I8, and `linear.weight` is float32"]),
        (
            BOTH | {"0.w": A.astype(np.int8)},
            ALL.replace("->", "-> cast ->", 1),
            ["DL8206 1 `0.w` holds I8, and `linear.weight` is float32"],
        ),
        (
            BOTH | {"0.b": D, "1.b": B},
            "{0,1}.w -> {linear,linear_2}.weight\n{0,1}.b -> concat(axis=1) -> linear.bias",
            ["DL8206 2 `0.b` does not fit `linear.bias`: [2] has no axis 1"],
        ),
        (
            {"b": np.concatenate([B, D, D]), "0.w": A, "1.w": C},
            "{0,1}.w -> {linear,linear_2}.weight\nb -> split(axis=0) -> {linear,linear_2}.bias",
            ["DL8206 2 `b` does not fit `linear.bias`: [8] has the size 8 along axis 0, and the weights have 4 + 2"],
        ),
        (BOTH | {"0.b": A}, ALL, ["DL8206 2 `0.b` gives [4, 3], and `linear.bias` is [4]"]),
        (
            BOTH | {"0.b": B[:3]},
            ALL.replace(".b ->", ".b -> reshape ->"),
            ["DL8206 2 `0.b` does not fit `linear.bias`: [3] has not as many elements as [4]"],
        ),
        (
            BOTH,
            ALL.replace(".b ->", ".b -> transpose ->"),
            ["DL8206 2 `0.b` does not fit `linear.bias`: [4] is no matrix that could be transposed"],
        ),
        (
            BOTH | {"again": C + 1},
            ALL + "again == linear_2.weight",
            ["DL8207 3 `again` is not what `linear_2.weight` is given"],
        ),
        (BOTH, ALL + "model Twoo\nignore x", ["DL8203 3 the spec declares no model `Twoo`"]),
        (
            BOTH | {"again": C},
            "again == linear_2.weigth\n" + ALL,
            ["DL8204 1 the model has no weight `linear_2.weigth`"],
        ),
    ],
)
def test_what_does_not_fit(tensors: dict[str, np.ndarray], mapping: str, expected: list[str], tmp_path: Path) -> None:
    assert refused(tmp_path, tensors, mapping) == expected


def test_a_near_name_is_told(tmp_path: Path) -> None:
    with pytest.raises(Refusal) as caught:
        load(tmp_path, {f"layers.{name}.weight": array for name, array in BOTH.items()}, "layer.{i}.w.weight -> x.{i}")
    assert caught.value.diagnostics[0].help == "did you mean `layers.{i}.w.weight`?"


def test_counters_of_batch_norms_are_pytorchs_own(tmp_path: Path) -> None:
    (tmp_path / "norm.dl").write_text("model Norm(x: float[N, 3]) -> (y: float[N, 3]):\n    return batch_norm(x)\n")
    norm = nn.BatchNorm1d(3)
    save_file(norm.state_dict(), tmp_path / "norm.safetensors")
    (tmp_path / "norm.map").write_text("{p} -> batch_norm.{p}")
    model = read_checked(tmp_path / "norm.dl").models["Norm"]
    loaded = load_weights(model, tmp_path / "norm.safetensors", tmp_path / "norm.map")
    assert sorted(loaded.weights) == [
        f"batch_norm.{name}" for name in ("bias", "running_mean", "running_var", "weight")
    ]
