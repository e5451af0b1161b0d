"""Sources as a spec calls them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dlc.compiler.program import SourceCall
from dlc.grammar.diagnostics import Diagnostic, Refusal
from dlc.grammar.source import Source, Span
from dlc.runtime.data.open import open_source
from dlc.runtime.data.source import DataSource

CALL = Span(Source("spec.dl", "source(…)"), 0, 9)

Opened = Callable[..., DataSource]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """The source of that kind in the test's folder, with arguments by position and by name."""

    def make(kind: str, *arguments: object, **named: object) -> DataSource:
        return open_source(SourceCall(kind, arguments, named, CALL), tmp_path)

    return make


@pytest.fixture
def tokenizer() -> Callable[..., SourceCall]:
    """The call of a tokenizer among the arguments of a source."""

    def make(kind: str, *arguments: object, **named: object) -> SourceCall:
        return SourceCall(kind, arguments, named, CALL)

    return make


@pytest.fixture
def told() -> Callable[[Callable[[], object]], Diagnostic]:
    """The only thing that is said of what is refused."""

    def make(action: Callable[[], object]) -> Diagnostic:
        with pytest.raises(Refusal) as caught:
            action()
        (diagnostic,) = caught.value.diagnostics
        return diagnostic

    return make
