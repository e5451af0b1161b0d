"""What an ONNX file says, and whether it may be believed: read in place, before onnxruntime sees a byte of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap
from os import fstat
from pathlib import Path
from stat import S_ISREG

from dlc.compiler.onnx import metadata
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.infer.claims import Claim
from dlc.runtime.infer.errors import UnreadableModel
from dlc.runtime.infer.external import External, size_beside
from dlc.runtime.infer.wire import DamagedError, Field, Wire, signed

_DEEPEST = 32  # graphs within graphs
_MOST_DIMENSIONS = 64


@dataclass(frozen=True, slots=True)
class Declared:
    """An input or output as the file declares it. type: ONNX's number of its element type, none for what is no
    tensor. shape: a number or a name for each axis, an empty name where there is none; none where the rank is open."""

    name: str
    type: int | None
    shape: tuple[int | str, ...] | None


@dataclass
class Stored:
    """An ONNX file, without its weights. operators: domain and kind of every node, and of what the file defines."""

    producer: str = ""
    name: str = ""
    version: int = 0
    opsets: dict[str, int] = field(default_factory=dict[str, int])
    properties: dict[str, str] = field(default_factory=dict[str, str])
    inputs: list[Declared] = field(default_factory=list[Declared])
    outputs: list[Declared] = field(default_factory=list[Declared])
    initializers: set[str] = field(default_factory=set[str])
    operators: dict[tuple[str, str], None] = field(default_factory=dict[tuple[str, str], None])
    functions: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    external: list[External] = field(default_factory=list[External])
    size: int = 0


def read_stored(path: Path) -> Stored:
    """Reads a model's file and holds what it claims against what is there; nothing of it is executed.

    Raises Refusal for a file that is missing, is no ONNX model, claims tensors that it does not hold, or keeps weights
    outside its own folder.
    """
    if path.suffix == ".dl":
        told = f"`dlc compile {path} --to onnx -o {path.with_suffix('.onnx')}` writes its model with fresh weights"
        raise Refusal(UnreadableModel(f"{path} is a spec, not an ONNX model", None, help=told))
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            status = fstat(file.fileno())
            if not S_ISREG(status.st_mode):
                raise Refusal(UnreadableModel(f"{path} is not a file", None))
            if status.st_size == 0:
                raise Refusal(UnreadableModel(f"{path} is empty", None))
            with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
                reader = _Reader(Wire(data))
                reader.model(0, status.st_size)
    except FileNotFoundError:
        raise Refusal(UnreadableModel(f"there is no file {path}", None)) from None
    except IsADirectoryError:
        told = f"`dlc export {path} -o {path.name}.onnx` writes the model of a run"
        raise Refusal(UnreadableModel(f"{path} is a folder, not an ONNX model", None, help=told)) from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise Refusal(UnreadableModel(f"{path} cannot be read: {reason}", None)) from None
    except DamagedError as error:
        raise Refusal(
            UnreadableModel(f"{path} is not an ONNX model, or it is damaged", None, notes=(str(error),))
        ) from None
    reader.stored.size = status.st_size + size_beside(path, reader.stored.external)
    return reader.stored


def line_of(path: Path, name: str) -> str | None:
    """The line, as `file:line`, of the node that has this name, or that makes the value of this name; of the longest
    that is part of it where onnxruntime has fused several. None where no node tells one."""
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        wire = Wire(data)
        found: dict[str, str] = {}
        for names, line in _Reader(wire).lines(0, len(data)):
            found.update(dict.fromkeys(names, line))
    best = max((each for each in found if each and each in name), key=len, default=None)
    return None if best is None else found[best]


def _without_waiting(path: str, flags: int) -> int:
    """Opens without waiting for the other end of what may be a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


class _Reader:
    """Walks an ONNX model. The numbers are those of the fields in onnx.proto."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.stored = Stored()

    def model(self, start: int, end: int) -> None:
        seen = False
        for each in self._wire.fields(start, end):
            match each.number:
                case 1:
                    self.stored.version = signed(each.value)
                case 2:
                    self.stored.producer = self._wire.text(each)
                case 7:
                    if seen:
                        raise DamagedError("it has two graphs")
                    seen = True
                    self._graph(each, 0, self._main)
                case 8:
                    self._opset(each)
                case 14:
                    key, value = self._entry(each)
                    self.stored.properties[key] = value
                case 20:
                    raise DamagedError("it holds a training, which is not run")
                case 25:
                    self._function(each)
                case _:
                    pass
        if not seen:
            raise DamagedError("it has no graph")

    def lines(self, start: int, end: int) -> Iterator[tuple[list[str], str]]:
        """The names of each node and of its results, and its line in the spec."""
        for model in self._wire.fields(start, end):
            if model.number == 7:
                yield from self._lines_of_graph(model)

    def _lines_of_graph(self, graph: Field) -> Iterator[tuple[list[str], str]]:
        for node in self._wire.fields(graph.start, graph.end):
            if node.number != 1:
                continue
            names: list[str] = []
            line = None
            for each in self._wire.fields(node.start, node.end):
                if each.number in (2, 3):
                    names.append(self._wire.text(each))
                elif each.number == 9:
                    key, value = self._entry(each)
                    line = value if key == metadata.LINE else line
                elif each.number == 5:
                    for part in self._wire.fields(each.start, each.end):
                        if part.number in (6, 11):
                            yield from self._lines_of_graph(part)
            if line is not None:
                yield names, line

    def _main(self, each: Field) -> None:
        match each.number:
            case 2:
                self.stored.name = self._wire.text(each)
            case 11:
                self.stored.inputs.append(self._declared(each))
            case 12:
                self.stored.outputs.append(self._declared(each))
            case _:
                pass

    def _graph(self, graph: Field, depth: int, besides: Callable[[Field], None] | None = None) -> None:
        if depth > _DEEPEST:
            raise DamagedError(f"its graphs stand in each other more than {_DEEPEST} deep")
        for each in self._message(graph):
            match each.number:
                case 1:
                    self._node(each, depth)
                case 5:
                    self.stored.initializers.add(self._tensor(each))
                case 15:
                    self._sparse(each)
                case _ if besides is not None:
                    besides(each)
                case _:
                    pass

    def _function(self, function: Field) -> None:
        names = {1: "", 10: ""}
        for each in self._message(function):
            match each.number:
                case 1 | 10:
                    names[each.number] = self._wire.text(each)
                case 7:
                    self._node(each, 0)
                case 11:
                    self._attribute(each, 0)
                case _:
                    pass
        self.stored.functions.add((names[10], names[1]))

    def _node(self, node: Field, depth: int) -> None:
        domain = kind = ""
        for each in self._message(node):
            match each.number:
                case 4:
                    kind = self._wire.text(each)
                case 5:
                    self._attribute(each, depth)
                case 7:
                    domain = self._wire.text(each)
                case _:
                    pass
        self.stored.operators[domain, kind] = None

    def _attribute(self, attribute: Field, depth: int) -> None:
        single: set[int] = set()
        for each in self._message(attribute):
            if each.number in (5, 6, 22):
                if each.number in single:  # a parser would make one of the two
                    raise DamagedError("an attribute has two values")
                single.add(each.number)
            match each.number:
                case 5 | 10:
                    self._tensor(each)
                case 6 | 11:
                    self._graph(each, depth + 1)
                case 22 | 23:
                    self._sparse(each)
                case _:
                    pass

    def _sparse(self, sparse: Field) -> None:
        for each in self._message(sparse):
            if each.number in (1, 2):
                self._tensor(each)

    def _tensor(self, tensor: Field) -> str:
        """The name of a tensor that holds what it claims."""
        found = Claim()
        for each in self._message(tensor):
            match each.number:
                case 1:
                    found.dims += self._wire.numbers(each)
                    if len(found.dims) > _MOST_DIMENSIONS:
                        raise DamagedError("a tensor has too many axes")
                case 2:
                    found.type = each.value
                case 8:
                    found.name = self._wire.text(each)
                case 4 | 5 | 7 | 10 | 11:
                    found.count += self._count(each)
                case 6:
                    found.count += 1
                case 9:
                    if found.raw is not None or not each.is_bytes:
                        raise DamagedError("a tensor has two values")
                    found.raw = each.end - each.start
                case 13:
                    key, value = self._entry(each)
                    found.entries[key] = value
                case 14:
                    found.outside = each.value == 1
                case _:
                    pass
        external = found.checked()
        if external is not None:
            self.stored.external.append(external)
        return found.name

    def _count(self, field: Field) -> int:
        """How many numbers a field of numbers holds, packed or one."""
        if not field.is_bytes:
            return 1
        if field.number in (4, 10):
            return (field.end - field.start) // (4 if field.number == 4 else 8)
        piece, ends = 1 << 20, 0
        for start in range(field.start, field.end, piece):
            part = self._wire.data[start : min(start + piece, field.end)]
            ends += len(part.translate(None, _CONTINUED))
        return ends

    def _declared(self, value: Field) -> Declared:
        name, type = "", None
        shape: tuple[int | str, ...] | None = None
        for each in self._message(value):
            if each.number == 1:
                name = self._wire.text(each)
            elif each.number == 2:
                for kind in self._message(each):
                    if kind.number == 1:
                        type, shape = self._tensor_type(kind)
        return Declared(name, type, shape)

    def _tensor_type(self, kind: Field) -> tuple[int, tuple[int | str, ...] | None]:
        type = 0
        shape: tuple[int | str, ...] | None = None
        for each in self._message(kind):
            if each.number == 1:
                type = each.value
            elif each.number == 2:
                if shape is not None:
                    raise DamagedError("an input or output has two shapes")
                shape = tuple(self._size(axis) for axis in self._message(each) if axis.number == 1)
        return type, shape

    def _size(self, axis: Field) -> int | str:
        size: int | str = ""
        for each in self._message(axis):
            if each.number == 1:
                size = signed(each.value)
            elif each.number == 2:
                size = self._wire.text(each)
        return "" if isinstance(size, int) and size < 0 else size

    def _opset(self, opset: Field) -> None:
        domain, number = "", 0
        for each in self._message(opset):
            if each.number == 1:
                domain = self._wire.text(each)
            elif each.number == 2:
                number = signed(each.value)
        self.stored.opsets[domain] = number

    def _entry(self, entry: Field) -> tuple[str, str]:
        """A key and its value, which may be long: the metadata of a model."""
        parts = {1: "", 2: ""}
        for each in self._message(entry):
            if each.number in parts:
                parts[each.number] = self._wire.text(each, 16_000_000)
        return parts[1], parts[2]

    def _message(self, field: Field) -> Iterator[Field]:
        if not field.is_bytes:
            raise DamagedError("a number stands where a message is due")
        return self._wire.fields(field.start, field.end)


_CONTINUED = bytes(range(0x80, 0x100))  # every byte of a number but its last
