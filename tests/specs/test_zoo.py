"""Every model of the zoo, made small: it checks, learns for a few steps, and both targets compute the same."""

from pathlib import Path

import pytest

from zoo.row import Row, rows
from zoo.workshop import Export, Trained, Workshop

ROWS = rows()
WITHOUT_ONNX = ("cannot be exported to ONNX", "gradients are not taken in ONNX")


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_small_one_learns_and_its_exports_agree(row: Row, tmp_path: Path) -> None:
    shop = Workshop(row.spec, tmp_path)
    program = shop.load(**row.small).program
    for name in program.trains:
        assert _learns(shop.train(name, epochs=row.epochs, **row.small)), name
    exports = [*shop.exports(), *shop.untrained(**row.small)]
    assert [export for export in exports if not _agrees(export)] == []
    assert exports or not program.models


def _learns(trained: Trained) -> bool:
    """Whether the first loss falls; one of closed forms and assignments has none."""
    lines = trained.history()
    loss = next((name for name in lines[0]["train"] if name.startswith("loss")), None)
    return loss is None or lines[-1]["train"][loss] < lines[0]["train"][loss]


def _agrees(export: Export) -> bool:
    """An export is compared with PyTorch before it is written; one that there cannot be says why."""
    return export.refused is None or any(reason in export.refused for reason in WITHOUT_ONNX)
