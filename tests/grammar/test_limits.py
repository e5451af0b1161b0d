"""What a spec may have at most, and that reading stays linear below it."""

import gc
import sys
import time
from typing import Any

import pytest

from dlc.grammar.ast import Block, Let, ListExpr, Node, Pipe
from dlc.grammar.diagnostics import Sink
from dlc.grammar.errors import MAX_BRACKETS, MAX_CHARACTERS, MAX_DEPTH, MAX_DIGITS, MAX_INDENTATION, MAX_MISTAKES
from dlc.grammar.parse import parse
from dlc.grammar.source import Source


def read(text: str) -> tuple[Any, list[str]]:
    sink = Sink()
    file = parse(Source("spec.dl", text), sink)
    return file, [mistake.code for mistake in sink]


def depth(node: Any) -> int:
    if isinstance(node, tuple):
        return max(map(depth, node), default=0)
    if isinstance(node, Node):
        return 1 + max((depth(part) for part in node.node_parts()), default=0)
    return 0


NESTED = {
    "sums": lambda n: "1 + " * n + "1",
    "powers": lambda n: "1 ** " * n + "1",
    "negations": lambda n: "- " * n + "1",
    "nots": lambda n: "not " * n + "x",
    "attributes": lambda n: "x" + ".x" * n,
    "calls": lambda n: "f" + "()" * n,
    "indices": lambda n: "x" + "[0]" * n,
    "conditionals": lambda n: "a if b else " * n + "c",
    "comparisons": lambda n: "x" + " and x" * n,
}


@pytest.mark.parametrize("kind", NESTED)
def test_expressions(kind: str) -> None:
    make = NESTED[kind]
    file, codes = read(f"let x = {make(MAX_DEPTH)}\nlet y = 1\n")
    assert codes == []
    assert MAX_DEPTH <= depth(file.items) <= 2 * MAX_DEPTH
    file, codes = read(f"let x = {make(MAX_DEPTH + 1)}\nlet y = 1\n")
    assert codes == ["DL1020"]
    assert len(file.items) == 1
    file, codes = read(f"let x = {make(20_000)}\nlet y = 1\n")
    assert codes == ["DL1020"]


def test_brackets() -> None:
    file, codes = read("let x = " + "f(" * MAX_BRACKETS + "1" + ")" * MAX_BRACKETS)
    assert codes == []
    assert depth(file.items) <= 3 * MAX_BRACKETS
    assert read("let x = " + "f(" * (MAX_BRACKETS + 1) + "1" + ")" * (MAX_BRACKETS + 1))[1] == ["DL1019"]
    assert read("let x = " + "(" * 400_000)[1] == ["DL1019"]
    assert read("let x = " + ")" * 400_000)[1] == ["DL1004"]


def test_indentation() -> None:
    def nested(levels: int) -> str:
        return "block B(x):\n" + "".join(" " * n + "if x:\n" for n in range(1, levels)) + " " * levels + "return x\n"

    file, codes = read(nested(MAX_INDENTATION))
    assert codes == []
    assert depth(file.items) <= 4 * MAX_INDENTATION
    assert read(nested(MAX_INDENTATION + 1))[1] == ["DL1021"]
    assert read(nested(1000) + "let x = = 1\n")[1] == ["DL1021", "DL1001"]


def test_size() -> None:
    text = "let x = 1\n" + "#" * (MAX_CHARACTERS - 10)
    file, codes = read(text)
    assert codes == []
    assert len(file.items) == 1
    file, codes = read(text + "#")
    assert codes == ["DL1018"]
    assert file.items == ()


def test_digits() -> None:
    file, codes = read("let x = " + "9" * MAX_DIGITS)
    assert codes == []
    assert file.items[0].value.value == 10**MAX_DIGITS - 1
    assert read("let x = " + "9" * 999_000)[1] == ["DL1008"]
    assert read("let x = 0." + "9" * 999_000)[1] == []


def test_mistakes() -> None:
    assert read("let x = = 1\n" * 50_000)[1] == ["DL1001"] * MAX_MISTAKES + ["DL1023"]
    assert read("block B(x):\n" + "    x = = 1\n" * 50_000)[1] == ["DL1001"] * MAX_MISTAKES + ["DL1023"]
    for text in ("let x = 1]\n", "let x = 1\nlet y = (\n", "block B(x):\n    y = = 1]\n"):
        _, codes = read(text * 40_000)
        assert codes[-1] == "DL1023"
        assert len(codes) <= MAX_MISTAKES + 1


def test_lists_and_pipes_are_flat() -> None:
    file, codes = read("let x = [" + "1, " * 50_000 + "]\n" + "let y = x" + " -> f" * 50_000)
    assert codes == []
    items, chain = (item.value for item in file.items if isinstance(item, Let))
    assert isinstance(items, ListExpr)
    assert isinstance(chain, Pipe)
    assert (len(items.items), len(chain.parts)) == (50_000, 50_001)
    assert depth(file.items) < 10


def test_a_block_of_many_statements_takes_linear_time() -> None:
    def seconds(count: int) -> float:
        text = "block B(x):\n" + "    x = f(x)\n" * count + "    return x\n"
        start = time.process_time()
        file, codes = read(text)
        taken = time.process_time() - start
        assert codes == []
        assert isinstance(file.items[0], Block)
        assert len(file.items[0].body) == count + 1
        return taken

    small = min(seconds(5_000), seconds(5_000))
    assert seconds(40_000) < 16 * small


@pytest.mark.parametrize(
    "text",
    [
        "\n" * 999_000,
        "let x = a" + "\n" * 990_000 + "-> b",
        "let x = a" + " " * 990_000,
        "let x = (" + "\n" * 990_000,
        'let x = "' + "\\" * 990_000,
        'let x = "' + "a" * 990_000 + '"',
        "let x = " + '"""' * 330_000,
        "let x = " + "'" * 990_000,
        "let x = " + "a'" * 490_000,
        "#\n" * 490_000,
        "let x = " + "$" * 990_000,
        "let x = a" + "\n  # c" * 160_000,
        " " * 990_000 + "x",
        "a" * 999_000,
        "let x = " + "é" * 990_000,
        "block B(x):\n" + "\t \n" * 300_000,
        "block B(x):\n" + "  x = = 2\n" * 90_000,
        "block B(x):\n" + "    " * 4 + "x = (\n" * 90_000,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_large_files_of_little_sense_are_read_quickly(text: str) -> None:
    start = time.process_time()
    read(text)
    assert time.process_time() - start < 5


def test_the_collector_is_left_as_it_was() -> None:
    assert gc.isenabled()
    read("let x = 1\n")
    assert gc.isenabled()
    gc.disable()
    try:
        read("let x = = 1\n")
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_recursion_limit_does_not_matter() -> None:
    text = "let x = " + "-" * 150 + "(" * 90 + "1" + ")" * 90 + "\n"
    limit = sys.getrecursionlimit()
    frames = 0
    frame = sys._getframe()
    while frame is not None:
        frames, frame = frames + 1, frame.f_back
    sys.setrecursionlimit(frames + 60)
    try:
        _, codes = read(text)
    finally:
        sys.setrecursionlimit(limit)
    assert codes == []
