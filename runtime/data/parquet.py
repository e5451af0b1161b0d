"""`parquet(path)`: the columns of an Apache Parquet file."""

from __future__ import annotations

from collections.abc import Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dlc.compiler.program import Schema
from dlc.compiler.types import DType, Tensor, product
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.data.room import Room
from dlc.runtime.data.source import FileSource, Table, identifier
from dlc.runtime.errors import BadArray, BadHeader, MissingPackage, NotANumber, UnreadableData

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BYTES = 2**24  # of a column that are read at a time
_BUFFER = 2**20  # bytes of the file


@dataclass(frozen=True)
class Parquet(FileSource):
    """Columns of numbers, truth values, and lists of a fixed size of them. All floats are read as float, all ints as
    int; what holds something else, text or a time, is no column."""

    def schema(self) -> Schema:
        with self._file() as file:
            return Schema({name: type for name, (_, type, _) in self._columns(file).items()}, file.metadata.num_rows)

    def load(self, columns: Collection[str], room: Room | None = None) -> Table:
        room = room or self.room()
        arrays: dict[str, NDArray[Any]] = {}
        with self._file() as file:
            known = self._columns(file)
            count: int = file.metadata.num_rows
            # What is packed may unpack to any size, and no column to more than its elements.
            sizes = {name: known[name][2] * int(product(known[name][1].shape)) for name in columns}
            room.require(count * sum(sizes.values()), self.path)
            for name in columns:
                arrays[name] = self._column(file, name, known[name], max(1, _BYTES // max(1, sizes[name])), room)
                if len(arrays[name]) != count:
                    told = f"column `{name}` of {self.path} has {len(arrays[name])} rows, and the file tells of {count}"
                    raise Refusal(UnreadableData(told, self.span))
        return Table(arrays, count, lambda index: f"row {index + 1}")

    def _column(self, file: Any, name: str, known: tuple[str, Tensor, int], rows: int, room: Room) -> NDArray[Any]:
        """A column, so many rows at a time."""
        key, type, _ = known
        made = None
        for batch in file.iter_batches(batch_size=rows, columns=[key], use_threads=False):
            array = self._array(batch.column(0), name, type, 0 if made is None else made.count)
            if made is None:
                made = room.column(array.dtype, array.shape[1:])
            made.extend(array)
        assert made is not None
        return made.done()

    @contextmanager
    def _file(self) -> Generator[Any]:
        arrow, parquet = self._arrow("pyarrow"), self._arrow("pyarrow.parquet")
        path = self.require_file()
        try:
            with parquet.ParquetFile(path, memory_map=False, buffer_size=_BUFFER, pre_buffer=False) as file:
                if file.metadata.num_rows == 0:
                    raise Refusal(UnreadableData(f"{self.path} holds no examples", self.span))
                yield file
        except (arrow.ArrowException, MemoryError, UnicodeDecodeError) as error:
            message = f"{self.path} is not a Parquet file that can be read"
            raise Refusal(UnreadableData(message, self.span, notes=tuple(str(error).splitlines()[:1]))) from error
        except OSError as error:
            raise self.cannot_open(error) from error

    def _arrow(self, name: str) -> Any:
        try:
            return import_module(name)
        except ImportError as error:
            message = f"{self.path} needs pyarrow, which is not installed"
            raise Refusal(MissingPackage(message, self.span, help='pip install "dlc[data]"')) from error

    def _columns(self, file: Any) -> dict[str, tuple[str, Tensor, int]]:
        """What each column is called in the file, its type, and the bytes of a number, by its name in DL."""
        found: dict[str, tuple[str, Tensor, int]] = {}
        for field in file.schema_arrow:
            type = self._type(field.type)
            name = identifier(field.name)
            if type is None or not name:
                continue
            if name in found:
                message = f"{self.path} has `{found[name][0]}` and `{field.name}`, both read as `{name}`"
                raise Refusal(BadHeader(message, self.span))
            found[name] = field.name, type, self._width(field.type)
        return found

    def _type(self, type: Any) -> Tensor | None:
        types: Any = self._arrow("pyarrow").types
        if types.is_fixed_size_list(type):
            inner = self._type(type.value_type)
            return None if inner is None else Tensor.of(type.list_size, *inner.shape, dtype=inner.dtype)
        kinds = {DType.BOOL: types.is_boolean, DType.INT: types.is_integer, DType.FLOAT: types.is_floating}
        return next((Tensor.of(dtype=dtype) for dtype, is_kind in kinds.items() if is_kind(type)), None)

    def _width(self, type: Any) -> int:
        """The bytes of a number, as NumPy keeps it."""
        while self._arrow("pyarrow").types.is_fixed_size_list(type):
            type = type.value_type
        return max(1, type.bit_width // 8)

    def _array(self, values: Any, name: str, type: Tensor, before: int) -> Any:
        """NumPy's array of some rows of a column, along axis 0. before: how many stand before them. Raises Refusal
        where an entry is null."""
        import numpy as np

        count = len(values)
        for _ in range(type.rank + 1):
            if values.null_count:
                row = before + int(values.is_null().to_numpy(zero_copy_only=False).argmax()) * count // len(values)
                message = f"row {row + 1}, column `{name}` of {self.path} is empty, and a number is due"
                raise Refusal(NotANumber(message, self.span))
            values = values.flatten() if self._nested(values) else values
        array = values.to_numpy(zero_copy_only=False)
        if array.dtype.kind == "u" and array.max() >= 2**63:
            raise Refusal(BadArray(f"`{name}` of {self.path} holds {array.max()}, too large for an int", self.span))
        return np.asarray(array).reshape(count, *(int(size) for size in type.shape))

    def _nested(self, values: Any) -> bool:
        return bool(self._arrow("pyarrow").types.is_fixed_size_list(values.type))
