"""From a `data` block to tensors: fields, ranges, parts."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dlc.compiler.dim import Dim
from dlc.compiler.graph import Graph, Value
from dlc.compiler.program import DataSpec, Field, Schema, SourceCall
from dlc.compiler.types import DType
from dlc.compiler.types import Tensor as Type
from dlc.grammar.diagnostics import Diagnostic, Refusal
from dlc.grammar.source import Source, Span
from dlc.runtime.data.load import Dataset, compute_fields, split
from dlc.runtime.data.source import open_source

PLACE = Span(Source("spec.dl", "x: float[2] = a"), 0, 15)


def field(name: str, type: Type, **columns: Type) -> Field:
    inputs = {column: Value(of, PLACE, column) for column, of in columns.items()}
    return Field(name, type, Graph(name, PLACE, inputs), PLACE)


def data(source: SourceCall, *fields: Field, **shares: float) -> DataSpec:
    by_name = {each.name: each for each in fields}
    return DataSpec("D", source, Schema({}), by_name, shares or {"train": 1.0}, PLACE)


def computed(spec: DataSpec, folder: Path, functions: Mapping[str, Callable[..., Tensor]], seed: int = 0) -> Dataset:
    source = open_source(spec.source, folder)
    table = source.load({name for each in spec.fields.values() for name in each.graph.inputs})
    return split(spec, compute_fields(spec, source, table, functions, seed), table.count, seed)


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


def parts(count: int, seed: int = 0, **shares: float) -> dict[str, list[int]]:
    spec = data(SourceCall("generate", (count,), {}, PLACE), **shares)
    found = split(spec, {"x": torch.arange(count)}, count, seed)
    return {part: fields["x"].tolist() for part, fields in found.parts.items()}


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
