"""Every example of the page on proofs is proved or refused as the page says."""

import re
from pathlib import Path

import pytest

from dlc.grammar.diagnostics import Sink
from dlc.grammar.format import format_file
from dlc.grammar.parse import parse
from dlc.grammar.source import Source
from dlc.runtime.spec import read_spec

PAGE = (Path(__file__).parent.parent.parent / "docs" / "proofs.md").read_text()
EXAMPLES = [
    pytest.param(found[1], found[2], id=f"line {PAGE.count(chr(10), 0, found.start()) + 1}")
    for found in re.finditer(r"^```(\S.*)\n((?:.*\n)*?)```$", PAGE, re.MULTILINE)
]


@pytest.mark.parametrize(("kind", "text"), EXAMPLES)
def test_examples(kind: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "spec.dl"
    path.write_text(text)
    _, sink = read_spec(path)
    due = [text.partition("\n")[0].removeprefix("# ")] if kind == "dl error" else []
    assert [diagnostic.code for diagnostic in sink] == due


@pytest.mark.parametrize(("kind", "text"), EXAMPLES)
def test_examples_are_laid_out(kind: str, text: str) -> None:
    assert kind in ("dl", "dl error")
    assert format_file(parse(Source("spec.dl", text), Sink())) == text
