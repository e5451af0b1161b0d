"""Every model of the zoo, made small: it checks, learns for a few steps, and both targets compute the same."""

from pathlib import Path

import pytest

from dlc.compiler.procedures import as_model
from dlc.runtime.infer.trials import draw_inputs, sizes_to_try
from zoo.row import SPECS, Row, rows
from zoo.workshop import Export, Trained, Workshop

ROWS = rows()
WITHOUT_ONNX = ("cannot be exported to ONNX", "gradients are not taken in ONNX")


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_small_one_learns_and_its_exports_agree(row: Row, tmp_path: Path) -> None:
    shop = Workshop(row.spec, tmp_path)
    program = shop.load(**row.small).program
    for name in program.trains:
        trained = shop.train(name, epochs=row.epochs, **row.small)
        assert _learns(trained), name
        _call_procedures(trained)
    exports = [*shop.exports(), *shop.untrained(**row.small)]
    assert [export for export in exports if not _agrees(export)] == []
    assert exports or not program.models


def test_every_spec_has_a_row_and_every_row_its_spec() -> None:
    """The standard library has no rows: its blocks are held against torch.nn by themselves."""
    specs = {path.relative_to(SPECS).with_suffix("").as_posix() for path in SPECS.rglob("*.dl")}
    assert {spec for spec in specs if not spec.startswith("std/")} == set(ROWS)


def _call_procedures(trained: Trained) -> None:
    """In PyTorch, as `dlc call` does, with inputs that are drawn."""
    for name, procedure in trained.run.spec.procedures.items():
        graph = as_model(procedure).graph
        found = trained.call(name, **draw_inputs(graph, next(sizes_to_try(graph))))
        assert [found[output].ndim for output in graph.output_names] == [value.type.rank for value in graph.outputs]


def _learns(trained: Trained) -> bool:
    """Whether the first loss falls; one of closed forms and assignments has none."""
    lines = trained.history()
    loss = next((name for name in lines[0]["train"] if name.startswith("loss")), None)
    return loss is None or lines[-1]["train"][loss] < lines[0]["train"][loss]


def _agrees(export: Export) -> bool:
    """An export is compared with PyTorch before it is written; one that there cannot be says why."""
    return export.refused is None or any(reason in export.refused for reason in WITHOUT_ONNX)
