"""`generate(count)`: examples without columns, whose fields are drawn by random expressions."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from dlc.compiler.program import Schema
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.data.room import Room
from dlc.runtime.data.source import DataSource, Table
from dlc.runtime.errors import SourceArguments


@dataclass(frozen=True)
class Generate(DataSource):
    """`count` examples."""

    count: int

    @property
    def title(self) -> str:
        return f"generate({self.count})"

    def schema(self) -> Schema:
        if self.count < 1:
            raise Refusal(SourceArguments(f"`generate` makes at least one example, and not {self.count}", self.span))
        return Schema({}, self.count)

    def load(self, columns: Collection[str], room: Room | None = None) -> Table:
        return Table({}, self.count, lambda index: f"example {index + 1}")
