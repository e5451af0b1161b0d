"""Every example of the language reference is checked, and says what the page says of it."""

import re
from pathlib import Path

import pytest

from dlc.grammar.diagnostics import Sink
from dlc.grammar.format import format_file
from dlc.grammar.parse import parse
from dlc.grammar.source import Source
from dlc.grammar.tables import KEYWORDS
from dlc.runtime.spec import read_spec

PAGE = (Path(__file__).parent.parent.parent / "docs" / "language.md").read_text()
EXAMPLES = [
    pytest.param(found[1], found[2], id=f"line {PAGE.count(chr(10), 0, found.start()) + 1}")
    for found in re.finditer(r"^```(\S.*)\n((?:.*\n)*?)```$", PAGE, re.MULTILINE)
]
HOUSES = "area,rooms,price\n" + "".join(f"{50 + n},{n % 5},{n * 1000}\n" for n in range(20))


@pytest.mark.parametrize(("kind", "text"), EXAMPLES)
def test_examples(kind: str, text: str, tmp_path: Path) -> None:
    assert kind in ("dl", "dl error")
    (tmp_path / "spec.dl").write_text(text)
    (tmp_path / "houses.csv").write_text(HOUSES)
    program, sink = read_spec(tmp_path / "spec.dl")
    told = [(diagnostic.code, diagnostic.message) for diagnostic in sink]
    if kind == "dl":
        assert program is not None, told
    else:
        assert [code for code, _ in told] == [text.partition("\n")[0].removeprefix("# ")], told


@pytest.mark.parametrize(("kind", "text"), EXAMPLES)
def test_examples_are_laid_out(kind: str, text: str) -> None:
    assert format_file(parse(Source("spec.dl", text), Sink())) == text


def test_every_word_of_the_language_is_told() -> None:
    code = " ".join(re.findall(r"```(?:.|\n)*?```|`[^`]+`", PAGE))
    assert set(KEYWORDS) <= set(re.findall(r"\w+", code))
