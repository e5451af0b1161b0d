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


def opened(folder: str, name: str) -> DataSource:
    from pathlib import Path

    return open_source(SourceCall("sklearn", (name,), {}, CALL), Path(folder))


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
