"""What elaboration asks of the outside world. The compiler itself touches no file."""

from __future__ import annotations

from typing import Protocol

from dlc.compiler.program import Schema, SourceCall
from dlc.grammar import ast


class Loader(Protocol):
    """The importing file, and the file whose folder a data path is relative to, is the source of the span."""

    def module(self, statement: ast.Import) -> ast.File:
        """The parsed file that an import names; the same object each time. Raises Refusal where there is none,
        where it lies outside the importing file's tree, or where it has syntax errors."""
        ...

    def schema(self, call: SourceCall) -> Schema:
        """The columns that a data source offers. Raises Refusal where there is no such source."""
        ...
