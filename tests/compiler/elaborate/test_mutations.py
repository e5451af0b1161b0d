"""Whatever a text is, reading it ends soon, in a program or in reports: no traceback, no hang.

The texts are the example specs, cut off somewhere or with one character changed. DLC_MUTATIONS=N tries N of each.
"""

import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlc.compiler.op import operations
from dlc.grammar.render import render_text
from dlc.runtime.spec import read_spec

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.dl"))
COUNT = int(os.environ.get("DLC_MUTATIONS", "4"))
SECONDS = 2.0
CHARACTERS = st.characters(codec="utf-8") | st.sampled_from(list('()[]:,.=-><+*/%@ \n"#0123456789_abNxT'))


@pytest.fixture(scope="module", autouse=True)
def _operations_are_defined() -> None:
    operations()


def ends(text: str, folder: Path) -> None:
    path = folder / "spec.dl"
    path.write_text(text, encoding="utf-8", newline="")
    start = time.perf_counter()
    program, sink = read_spec(path)
    assert time.perf_counter() - start < SECONDS
    assert (program is None) == bool(len(sink))
    assert bool(render_text(sink)) == bool(len(sink))


examples = pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
tries = settings(
    max_examples=COUNT,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@examples
@tries
@given(data=st.data())
def test_prefixes(example: Path, tmp_path: Path, data: st.DataObject) -> None:
    text = example.read_text(encoding="utf-8")
    ends(text[: data.draw(st.integers(0, len(text)))], tmp_path)


@examples
@tries
@given(data=st.data())
def test_one_character_changed(example: Path, tmp_path: Path, data: st.DataObject) -> None:
    text = example.read_text(encoding="utf-8")
    place = data.draw(st.integers(0, len(text) - 1))
    changed = data.draw(st.just("") | CHARACTERS)
    behind = place + data.draw(st.integers(0, 1))  # 0: inserted before it
    ends(text[:place] + changed + text[behind:], tmp_path)


@examples
@tries
@given(data=st.data())
def test_lines_dropped_or_swapped(example: Path, tmp_path: Path, data: st.DataObject) -> None:
    lines = example.read_text(encoding="utf-8").splitlines(keepends=True)
    first = data.draw(st.integers(0, len(lines) - 1))
    second = data.draw(st.integers(0, len(lines) - 1))
    lines[first], lines[second] = lines[second], lines[first]
    del lines[data.draw(st.integers(0, len(lines) - 1))]
    ends("".join(lines), tmp_path)


@examples
@tries
@given(data=st.data())
def test_names_and_numbers_changed(example: Path, tmp_path: Path, data: st.DataObject) -> None:
    """A word is replaced by another of the file, which the grammar mostly allows, so that elaboration sees it."""
    import re

    text = example.read_text(encoding="utf-8")
    words = list(re.finditer(r"\w+", text))
    first, second = (data.draw(st.sampled_from(words)) for _ in range(2))
    ends(text[: first.start()] + second[0] + text[first.end() :], tmp_path)
