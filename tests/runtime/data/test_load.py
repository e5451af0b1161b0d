"""From a `data` block to tensors: fields, ranges, parts."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from dlc.compiler.dim import Dim
from dlc.compiler.graph import Graph, Value
from dlc.compiler.program import DataSpec, Field, Schema, SourceCall
from dlc.compiler.types import DType
from dlc.compiler.types import Tensor as Type
from dlc.grammar.diagnostics import Diagnostic, Refusal
from dlc.grammar.source import Source, Span
from dlc.runtime.data.load import Dataset, columns_read, compute, load_data, split
from dlc.runtime.data.open import open_source
from dlc.runtime.data.source import Table
from dlc.runtime.data.statistics import standard
from dlc.runtime.spec import read_checked

PLACE = Span(Source("spec.dl", "x: float[2] = a"), 0, 15)


def field(name: str, type: Type, **columns: Type) -> Field:
    inputs = {column: Value(of, PLACE, column) for column, of in columns.items()}
    return Field(name, type, Graph(name, PLACE, inputs, outputs=(Value(type, PLACE, name),)), PLACE)


def data(source: SourceCall, *fields: Field, **shares: float) -> DataSpec:
    by_name = {each.name: each for each in fields}
    columns = {column: value.type for each in fields for column, value in each.graph.inputs.items()}
    return DataSpec("D", source, Schema(columns), by_name, shares or {"train": 1.0}, PLACE)


def computed(spec: DataSpec, folder: Path, functions: Mapping[str, Callable[..., Tensor]], seed: int = 0) -> Dataset:
    source = open_source(spec.source, folder)
    by_graph = {spec.fields[name].graph: function for name, function in functions.items()}
    return compute(spec, source, source.load(columns_read(spec)), by_graph, seed)


def npz(folder: Path, **arrays: np.ndarray) -> SourceCall:
    np.savez(folder / "t.npz", **arrays)  # pyright: ignore[reportArgumentType]
    return SourceCall("npz", ("t.npz",), {}, PLACE)


def refused(spec: DataSpec, folder: Path, functions: Mapping[str, Callable[..., Tensor]]) -> Diagnostic:
    with pytest.raises(Refusal) as caught:
        computed(spec, folder, functions)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


INT, FLOAT = Type.of(dtype=DType.INT), Type.of()


def labels(below: int) -> Type:
    return Type(DType.INT, (), Dim.of(below))


def test_a_field_is_computed_for_one_example(tmp_path: Path) -> None:
    a = np.arange(10.0).reshape(5, 2)
    spec = data(npz(tmp_path, a=a, k=np.arange(5)), field("x", Type.of(2), a=Type.of(2), k=INT))
    found = computed(spec, tmp_path, {"x": lambda a, k: a / a.sum() + k})
    expected = a / a.sum(axis=1, keepdims=True) + np.arange(5)[:, None]
    assert found.parts["train"]["x"].dtype is torch.float32
    np.testing.assert_allclose(found.parts["train"]["x"].numpy(), expected, rtol=1e-6)


def test_more_examples_than_are_computed_at_once(tmp_path: Path) -> None:
    a = np.arange(10_000)
    spec = data(npz(tmp_path, a=a), field("x", INT, a=INT))
    found = computed(spec, tmp_path, {"x": lambda a: a * 2})
    assert found.count("train") == 10_000
    assert torch.equal(found.parts["train"]["x"], torch.arange(10_000) * 2)


def test_generated_fields_follow_the_seed(tmp_path: Path) -> None:
    spec = data(SourceCall("generate", (100,), {}, PLACE), field("x", Type.of(3)))
    functions = {"x": lambda: torch.randn(3)}
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = computed(spec, tmp_path, functions, seed=7).parts["train"]["x"]
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again = computed(spec, tmp_path, functions, seed=7).parts["train"]["x"]
    other = computed(spec, tmp_path, functions, seed=8).parts["train"]["x"]
    assert first.shape == (100, 3)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len(torch.unique(first)) == 300


def test_a_label_out_of_its_range(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("target\n0\n9\n\n12\n")
    spec = data(SourceCall("csv", ("t.csv",), {}, PLACE), field("label", labels(10), target=INT))
    diagnostic = refused(spec, tmp_path, {"label": lambda target: target})
    assert diagnostic.code == "DL6011"
    assert diagnostic.message == (
        "row 3 (line 5) of t.csv: `label` from column `target` is 12, outside of the declared range"
    )
    assert diagnostic.label == "from 0 to 9"
    assert diagnostic.span is PLACE


def test_labels_that_count_from_one(tmp_path: Path) -> None:
    spec = data(npz(tmp_path, y=np.array([1, 2, 3])), field("y", labels(3), y=INT))
    diagnostic = refused(spec, tmp_path, {"y": lambda y: y})
    assert diagnostic.message == "example 3 of t.npz: `y` is 3, outside of the declared range"
    assert diagnostic.help == "the values count from 1: subtract 1 from them"


def test_an_element_out_of_its_range_is_told_with_its_place(tmp_path: Path) -> None:
    words = Type(DType.INT, (Dim.of(2),), Dim.of(5))
    spec = data(npz(tmp_path, y=np.array([[1, 2], [3, -1]])), field("y", words, y=Type.of(2, dtype=DType.INT)))
    diagnostic = refused(spec, tmp_path, {"y": lambda y: y})
    assert diagnostic.message == "example 2 of t.npz: `y[1]` is -1, outside of the declared range"


def test_what_is_not_a_number(tmp_path: Path) -> None:
    spec = data(npz(tmp_path, a=np.array([1.0, -1.0])), field("x", FLOAT, a=FLOAT))
    diagnostic = refused(spec, tmp_path, {"x": torch.log})
    assert (diagnostic.code, diagnostic.message) == (
        "DL6012",
        "example 2 of t.npz: `x` from column `a` is not a number",
    )


# --- parts ------------------------------------------------------------------------------------------------------


def parts(count: int, seed: int = 0, overlap: int | None = None, **shares: float) -> dict[str, list[int]]:
    spec = data(SourceCall("generate", (count,), {}, PLACE), **shares)
    found = split(spec, Table({}, count, str, overlap), seed)
    return {part: torch.arange(count)[rows].tolist() for part, rows in found.items()}


def test_parts_share_nothing_and_leave_nothing_out() -> None:
    found = parts(1797, train=0.7, valid=0.2, test=0.1)
    assert {part: len(rows) for part, rows in found.items()} == {"train": 1258, "valid": 359, "test": 180}
    assert sorted(row for rows in found.values() for row in rows) == list(range(1797))


def test_parts_are_drawn_and_the_same_for_a_seed() -> None:
    found = parts(100, train=0.8, valid=0.2)
    assert found["valid"] != list(range(80, 100))
    assert found == parts(100, train=0.8, valid=0.2)
    assert found != parts(100, seed=1, train=0.8, valid=0.2)


def test_parts_never_change_between_versions() -> None:
    assert parts(10, train=0.5, valid=0.5)["valid"] == [0, 3, 4, 7, 8]


def test_a_part_without_examples() -> None:
    with pytest.raises(Refusal) as caught:
        parts(3, train=0.9, valid=0.1)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "DL6013"
    assert diagnostic.message == "the part `valid` of D would be empty: 0.1 of 3 examples"


def test_parts_in_order_share_nothing_either() -> None:
    found = parts(100, overlap=4, train=0.5, valid=0.3, test=0.2)
    assert found == {"train": list(range(46)), "valid": list(range(50, 76)), "test": list(range(80, 100))}


def test_a_part_that_its_neighbour_reaches_into() -> None:
    with pytest.raises(Refusal, match="the part `valid` of D would be empty"):
        parts(20, overlap=4, train=0.5, valid=0.2, test=0.3)


# --- from a spec ------------------------------------------------------------------------------------------------


def loaded(folder: Path, text: str, seed: int = 0, fitted: Mapping[str, Tensor] | None = None) -> Dataset:
    (folder / "spec.dl").write_text(text)
    (spec,) = read_checked(folder / "spec.dl").data.values()
    return load_data(spec, folder, seed, fitted)


DIABETES = """data Diabetes:
    source = sklearn("diabetes")
    features: float[10] = standardize(data)
    target: float[] = standardize(target)
    both: float[11] = concat(features, reshape(target, 1), axis=0)
    split = (train=0.8, test=0.2)
"""


def test_what_is_standardized_is_what_scikit_learn_makes(tmp_path: Path) -> None:
    found = loaded(tmp_path, DIABETES, seed=3)
    data, target = load_diabetes(return_X_y=True)
    test = np.array(parts(442, seed=3, train=0.8, test=0.2)["test"])
    train = np.setdiff1d(np.arange(442), test)
    scaler = StandardScaler().fit(data[train])
    np.testing.assert_allclose(found.parts["train"]["features"], scaler.transform(data[train]), atol=2e-6)
    np.testing.assert_allclose(found.parts["test"]["features"], scaler.transform(data[test]), atol=2e-6)
    np.testing.assert_allclose(found.statistics["features.mean"], scaler.mean_, atol=1e-9)
    np.testing.assert_allclose(found.statistics["features.std"], scaler.scale_, rtol=1e-6)
    of_target = StandardScaler().fit(target[train, None])
    np.testing.assert_allclose(found.parts["test"]["target"], of_target.transform(target[test, None])[:, 0], atol=2e-6)
    assert torch.equal(found.parts["test"]["both"][:, 10], found.parts["test"]["target"])


def test_the_closed_form_on_standardized_data_is_scikit_learns(tmp_path: Path) -> None:
    part = loaded(tmp_path, DIABETES).parts["train"]
    x, y = part["features"].double().numpy(), part["target"].double().numpy()
    found = np.linalg.solve(x.T @ x + np.eye(10), x.T @ y)
    np.testing.assert_allclose(found, Ridge(alpha=1.0, fit_intercept=False).fit(x, y).coef_, rtol=1e-6)


def test_statistics_that_were_fitted_before_are_used_again(tmp_path: Path) -> None:
    first = loaded(tmp_path, DIABETES, seed=0)
    again = loaded(tmp_path, DIABETES, seed=1, fitted=first.statistics)
    assert again.statistics["features.mean"] is first.statistics["features.mean"]
    data = torch.as_tensor(load_diabetes().data).float()
    rows = parts(442, seed=1, train=0.8, test=0.2)["train"]
    due = (data[rows] - first.statistics["features.mean"]) / first.statistics["features.std"]
    assert torch.equal(again.parts["train"]["features"], due)


def test_several_statistics_of_a_field_and_a_column_that_is_called_like_one(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    columns = {"a": random.normal(2, 3, 50), "b": random.normal(size=50), "x_mean": random.normal(size=50)}
    np.savez(tmp_path / "t.npz", **columns)
    text = """data D:
    source = npz("t.npz")
    x: float[] = standardize(a) + standardize(exp(standardize(b))) + x_mean
"""
    found = loaded(tmp_path, text)
    assert set(found.statistics) == {f"x.{kind}_{number}" for kind in ("mean", "std") for number in (2, 3, 4)}
    a, b = ((columns[name] - columns[name].mean()) / columns[name].std() for name in "ab")
    e = np.exp(b)
    due = a + (e - e.mean()) / e.std() + columns["x_mean"]
    np.testing.assert_allclose(found.parts["train"]["x"], due, atol=1e-5)


@pytest.mark.parametrize("value", [0.1, 1e6 / 3, 0.0])
def test_what_is_the_same_in_every_example_is_not_divided(value: float) -> None:
    values = torch.full((1000, 1), value)
    mean, deviation = standard(values)
    assert deviation.item() == StandardScaler().fit(values.numpy()).scale_[0] == 1.0
    assert mean.item() == pytest.approx(value)


SINUSOIDS = """data Sinusoids:
    source = generate(5000)
    amplitude: float[] = uniform(low=0.1, high=5)
    x: float[10, 1] = uniform(10, 1, low=-5, high=5)
    y: float[10, 1] = amplitude * sin(x)
    z: float[10, 1] = uniform(10, 1, low=-5, high=5)
    split = (train=0.95, valid=0.05)
"""


def test_fields_are_drawn_for_each_example_and_read_those_above(tmp_path: Path) -> None:
    found = loaded(tmp_path, SINUSOIDS).parts["train"]
    assert len(torch.unique(found["amplitude"])) > 4500
    assert torch.equal(found["y"], found["amplitude"][:, None, None] * torch.sin(found["x"]))
    assert not torch.equal(found["x"], found["z"])
    again, other = loaded(tmp_path, SINUSOIDS).parts["train"], loaded(tmp_path, SINUSOIDS, seed=1).parts["train"]
    assert all(torch.equal(found[name], again[name]) for name in found)
    assert not torch.equal(found["x"], other["x"])


def test_a_field_hides_a_column_of_its_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", a=np.arange(4.0))
    text = 'data D:\n    source = npz("t.npz")\n    a: float[] = a + 1\n    b: float[] = a * 2\n'
    assert loaded(tmp_path, text).parts["train"]["b"].tolist() == [2, 4, 6, 8]


def test_data_has_a_fingerprint(tmp_path: Path) -> None:
    text = 'data D:\n    source = npz("t.npz")\n    a: float[] = a\n'
    prints: list[str] = []
    for a, b in ((1, 2), (1, 2), (1, 3), (2, 2)):
        np.savez(tmp_path / "t.npz", a=np.array([0.0, a]), b=np.array([b, b]))
        prints.append(loaded(tmp_path, text).fingerprint)
    assert prints[0] == prints[1] == prints[2] != prints[3]
