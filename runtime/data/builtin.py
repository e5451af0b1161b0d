"""`builtin(name)`: what comes with Python, or with dlc's own dependencies.

- `builtin("python_docs", tokenizer=…, window=…, stride=1)`: the reference that ships with Python, the topics of
  `help()` in alphabetical order. One column, `tokens`: int[window] < the size of the tokenizer's vocabulary.
- `builtin("karate_club")`: Zachary's karate club (1977), as networkx has it, as a single example. `x`: float[34, 34],
  one-hot, the number of each member; `edges`: int[2, 156] < 34, every friendship in both directions, in order;
  `weight`: float[156], of how many kinds of meeting each is; `label`: int[34] < 2, whose side each member took: 0 for
  the instructor's, 1 for the officer's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from dlc.compiler.dim import Dim
from dlc.compiler.program import Schema
from dlc.compiler.types import DType, Tensor
from dlc.grammar.diagnostics import Refusal
from dlc.grammar.suggest import nearest
from dlc.runtime.data.room import Room
from dlc.runtime.data.source import DataSource, Table
from dlc.runtime.data.tokenizers import Tokenizer
from dlc.runtime.data.windows import window_schema, window_table
from dlc.runtime.errors import MissingPackage, SourceArguments, UnknownDataset

_MEMBERS, _FRIENDSHIPS = 34, 78
_KARATE = Schema(
    {
        "x": Tensor.of(_MEMBERS, _MEMBERS),
        "edges": Tensor(DType.INT, (Dim.of(2), Dim.of(2 * _FRIENDSHIPS)), Dim.of(_MEMBERS)),
        "weight": Tensor.of(2 * _FRIENDSHIPS),
        "label": Tensor(DType.INT, (Dim.of(_MEMBERS),), Dim.of(2)),
    },
    1,
)
_NAMES = ("python_docs", "karate_club")


@dataclass(frozen=True)
class Builtin(DataSource):
    """The data of that name."""

    name: str
    tokenizer: Tokenizer | None = None
    window: int = 0
    stride: int = 1

    @property
    def title(self) -> str:
        return {"python_docs": "Python's reference text", "karate_club": "the karate club"}[self.name]

    def schema(self) -> Schema:
        self._check()
        if self.tokenizer is None:
            return _KARATE
        size = self.tokenizer.known
        return window_schema(self.window, self.tokenizer.size(self._python_docs()) if size is None else size)

    def load(self, columns: Collection[str], room: Room | None = None) -> Table:
        self._check()
        if self.tokenizer is not None:
            text, own = [self._python_docs()], room or self.room()
            return window_table(text, self.title, self.tokenizer, self.window, self.stride, own, self.span)
        table = _karate_club()
        return Table({name: table[name] for name in columns}, 1, lambda _: "the only example")

    def pieces(self) -> Iterable[str]:
        """The text, where it is one. Raises Refusal."""
        return [self._python_docs()]

    def _check(self) -> None:
        if self.name not in _NAMES:
            near = nearest(self.name, _NAMES)
            help = f'did you mean "{near}"?' if near else f"there are {', '.join(_NAMES)}"
            raise Refusal(UnknownDataset(f'no data set "{self.name}" is built in', self.span, help=help))
        if self.name == "python_docs":
            if self.tokenizer is None:
                help = 'as in builtin("python_docs", tokenizer=bytes(), window=65)'
                raise Refusal(SourceArguments('"python_docs" is a text, and needs a tokenizer', self.span, help=help))
            self.require_positive("window", "stride")
        elif self.tokenizer is not None or self.window or self.stride != 1:
            message = f'"{self.name}" is no text, and takes neither a tokenizer nor a window'
            raise Refusal(SourceArguments(message, self.span))

    def _python_docs(self) -> str:
        try:
            topics: dict[str, str] = import_module("pydoc_data.topics").topics
        except ImportError as error:
            message = "this installation of Python has left out its reference text, `pydoc_data`"
            raise Refusal(MissingPackage(message, self.span)) from error
        return "\n".join(topics[name] for name in sorted(topics))


def _karate_club() -> dict[str, Any]:
    import numpy as np

    networkx: Any = import_module("networkx")
    graph = networkx.karate_club_graph()
    meetings = [(a, b, data.get("weight", 1)) for a, b, data in graph.edges(data=True)]
    directed = sorted(meetings + [(b, a, kinds) for a, b, kinds in meetings])
    edges = np.array([[start, end] for start, end, _ in directed], np.int64).T
    weight = np.array([weight for _, _, weight in directed], np.float64)
    label = np.array([int(graph.nodes[node]["club"] != "Mr. Hi") for node in range(_MEMBERS)], np.int64)
    return {"x": np.eye(_MEMBERS)[None], "edges": edges[None], "weight": weight[None], "label": label[None]}
