"""`sklearn(...)`: its tables are those of scikit-learn."""

import sys

import numpy as np
import pytest

from dlc.compiler.program import SourceCall
from dlc.grammar.diagnostics import Refusal
from dlc.grammar.source import Source, Span
from dlc.runtime.data.open import open_source
from dlc.runtime.data.sklearn import _SCHEMAS, Sklearn
from dlc.runtime.data.source import DataSource

CALL = Span(Source("spec.dl", 'sklearn("iris")'), 0, 15)


def opened(folder: str, name: str, **named: int) -> DataSource:
    from pathlib import Path

    return open_source(SourceCall("sklearn", (name,), named, CALL), Path(folder))


@pytest.mark.parametrize("name", _SCHEMAS)
def test_the_schema_is_what_scikit_learn_loads(name: str) -> None:
    pytest.importorskip("sklearn")
    source = opened(".", name)
    schema = source.schema()
    table = source.load(list(schema.columns))
    assert table.count == schema.count
    for column, type in schema.columns.items():
        array = table.columns[column]
        assert array.shape == (schema.count, *map(int, type.shape))
        assert array.dtype.kind == ("i" if type.dtype.is_int else "f")
        if type.below is not None:
            assert set(np.unique(array)) == set(range(int(type.below)))


def test_a_misspelt_data_set_gets_the_nearest() -> None:
    with pytest.raises(Refusal) as caught:
        opened(".", "digit").schema()
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.help) == ("DL6009", 'did you mean "digits"?')


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    source = opened(".", "iris")
    assert isinstance(source, Sklearn)
    assert source.schema().count == 150
    with pytest.raises(Refusal) as caught:
        source.load(["data"])
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.help) == ("DL6010", 'pip install "dlc[data]"')


@pytest.mark.parametrize("patch", [32, 100, 427])
def test_photographs_in_squares(patch: int) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    source = opened(".", "sample_images", patch=patch)
    schema = source.schema()
    across = 640 // patch
    assert schema.count == 427 // patch * across
    table = source.load(["china", "flower"])
    for name, type in schema.columns.items():
        photograph = datasets.load_sample_image(f"{name}.jpg")
        squares = table.columns[name]
        assert (squares.dtype, squares.shape) == (np.uint8, (schema.count, *map(int, type.shape)))
        for index in (0, schema.count - 1):
            top, left = index // across * patch, index % across * patch
            due = photograph[top : top + patch, left : left + patch]
            np.testing.assert_array_equal(squares[index].transpose(1, 2, 0), due)


def test_only_what_is_read_of_the_photographs() -> None:
    pytest.importorskip("sklearn")
    assert list(opened(".", "sample_images", patch=200).load(["flower"]).columns) == ["flower"]


@pytest.mark.parametrize(
    ("name", "patch", "message"),
    [
        ("sample_images", 0, "`patch` is the side of a square, from 1 to 427 pixels, and this is 0"),
        ("sample_images", 428, "`patch` is the side of a square, from 1 to 427 pixels, and this is 428"),
        ("sample_images", -1, "`patch` is the side of a square, from 1 to 427 pixels, and this is -1"),
        ("digits", 4, '"digits" has no photographs, and takes no `patch`'),
    ],
)
def test_patches_that_cannot_be(name: str, patch: int, message: str) -> None:
    with pytest.raises(Refusal) as caught:
        opened(".", name, patch=patch).schema()
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.message) == ("DL6002", message)
