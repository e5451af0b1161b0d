"""Emitted source as a module."""

import inspect
import linecache
import traceback

import pytest

from dlc.runtime.emitted import load_module

TEXT = "import math\n\n\ndef root(x):\n    return math.sqrt(x)\n"


def test_text_becomes_a_module() -> None:
    module = load_module("Root", TEXT)
    assert module.root(9) == 3
    assert inspect.getsource(module.root) == "def root(x):\n    return math.sqrt(x)\n"


def test_tracebacks_show_its_lines() -> None:
    module = load_module("Root", TEXT)
    with pytest.raises(ValueError, match=r"math domain error|nonnegative") as caught:
        module.root(-1)
    linecache.checkcache()
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (last.filename, last.lineno, last.line) == ("Root.emitted.py", 5, "return math.sqrt(x)")


def test_two_texts_of_one_name_are_two_modules() -> None:
    first = load_module("Same", "value = 1\n")
    second = load_module("Same", "value = 2\n")
    assert (first.value, second.value) == (1, 2)
