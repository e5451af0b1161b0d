# ruff: noqa: E501 - specs stand on one line.
"""A mistake hides neither the others nor the declarations around it, and causes none."""

from pathlib import Path

import pytest

from dlc.grammar.ast import Block, Data, Let, Train
from dlc.grammar.diagnostics import Sink, kinds
from dlc.grammar.parse import parse
from dlc.grammar.source import Source

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.dl"))


def read(text: str) -> tuple[list[str], list[str]]:
    """The names of what was read, and the mistakes as `code line`."""
    sink = Sink()
    file = parse(Source("spec.dl", text), sink)
    names = [item.name.id for item in file.items if isinstance(item, Let | Block | Data | Train)]
    return names, [f"{mistake.code} {mistake.span.line if mistake.span else 0}" for mistake in sink]


def test_declarations_with_mistakes_are_left_out() -> None:
    text = (
        "let a = 1\nlet b = \nlet c = 3 $\nblock D(x):\n    return (x\nblock E(x):\n    return x\nlet f = 1_\nlet g = 2"
    )
    assert read(text) == (["a", "E", "g"], ["DL1001 2", "DL1007 3", "DL1003 5", "DL1008 8"])


def test_each_line_of_a_body_is_read() -> None:
    text = """\
block A(x float):
    y = 3 3
    for i range(3):
        z = (
        return 4 4
    if y = 2:
        y = +
    elif y z:
        y = -
    else z:
        y = *
    loop x in:
        y = /
    return ]
"""
    told = ["DL1001 1", "DL1001 2", "DL1001 3", "DL1003 4", "DL1001 5", "DL1014 6", "DL1001 7", "DL1001 8", "DL1001 9"]
    told += ["DL1001 10", "DL1001 11", "DL1001 12", "DL1001 13", "DL1004 14"]
    assert read(text) == ([], told)


def test_data_and_train_are_read_on() -> None:
    text = """\
data D
    source = csv(
    x: float[1
    augment:
        x = = 1
    split = 1 2
train T in D:
    net = M(
    settings:
        batch 64
        epochs = = 2
    step(:
        y = 3 3
    evaluate
        return 3 3
"""
    told = [
        "DL1002 1",
        "DL1003 2",
        "DL1003 3",
        "DL1001 5",
        "DL1001 6",
        "DL1001 7",
        "DL1003 8",
        "DL1001 10",
        "DL1001 11",
    ]
    told += ["DL1003 12", "DL1002 14", "DL1001 15"]
    assert read(text) == ([], told)


def test_a_branch_with_a_mistake_keeps_the_branches_after_it() -> None:
    for head in ("if a = b:", "if a b:", "if (a:", "if a: return x", "if 'a':"):
        text = f"block B(x):\n    {head}\n        y = 1\n    elif x:\n        y = 2\n    else:\n        y = 3\n    return y\n"
        assert len(read(text)[1]) == 1, head
        text = f"block B(x):\n    {head}\n    else:\n        y = 3\n    return y\n"
        assert len(read(text)[1]) == 1, head


def test_what_hangs_below_a_line_that_opens_nothing_is_left_out() -> None:
    text = "block B(x):\n    y = x +\n        3 3\n        + 4\n            5\n    z = 3\n        y\n    return z z\n"
    assert read(text) == ([], ["DL1001 2", "DL1011 7", "DL1001 8"])


def test_after_an_indentation_that_fits_nothing_the_next_declaration_is_read() -> None:
    text = "block B(x):\n    y = x x\n  z = 3 3\n    return z z\nblock C(x):\n        y = 1\n\treturn x x\nlet a = 1\nlet b = = 1\n"
    assert read(text) == (["a"], ["DL1001 2", "DL1010 3", "DL1009 7", "DL1001 9"])


def test_an_unclosed_bracket_takes_no_more_than_it_must() -> None:
    text = "let a = [1,\n    2\nlet b = (3\n\ndata D:\n    source = f(\n\n    x: int[\n# of c\nlet c = 1\n"
    assert read(text) == (["c"], ["DL1003 1", "DL1003 3", "DL1003 6", "DL1003 8"])
    sink = Sink()
    (let,) = parse(Source("spec.dl", text), sink).items
    assert isinstance(let, Let)
    assert let.doc == "of c"


def test_comments_are_collected_once_behind_an_unclosed_bracket() -> None:
    file = parse(Source("spec.dl", "let a = (  # one\n# two\nlet b = 1  # three\n"), Sink())
    assert [comment.text for comment in file.comments] == ["# one", "# two", "# three"]


def test_every_example_of_a_mistake_makes_that_mistake_alone() -> None:
    import dlc.grammar.errors  # noqa: F401 - registers the kinds

    found = {code: kind for code, kind in kinds().items() if code.startswith("DL1")}
    assert found
    for code, kind in found.items():
        sink = Sink()
        parse(Source("spec.dl", kind.example), sink)
        told = {mistake.code for mistake in sink}
        assert told == ({code, "DL1001"} if code == "DL1023" else {code}), code


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_line_with_a_mistake_is_the_only_one_told_of(path: Path) -> None:
    """Each line in turn gets a stray character at its end."""
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        if line.strip() and "#" not in line:
            text = "\n".join([*lines[:number], line + " $", *lines[number + 1 :]])
            told = read(text)[1]
            assert [mistake.split()[0] for mistake in told] == ["DL1007"], (number + 1, told)
            assert int(told[0].split()[1]) == number + 1
