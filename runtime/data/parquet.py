"""`parquet(path)`: the columns of an Apache Parquet file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dlc.compiler.program import Schema
from dlc.compiler.types import DType, Tensor, product
from dlc.grammar.diagnostics import Refusal
from dlc.grammar.suggest import nearest
from dlc.runtime.data.categories import class_type, classes, some
from dlc.runtime.data.room import Room
from dlc.runtime.data.source import FileSource, Table, identifier
from dlc.runtime.errors import BadArray, BadHeader, MissingPackage, NotANumber, RaggedRow, UnreadableData

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BYTES = 2**24  # of a column that are read at a time
_BUFFER = 2**20  # bytes of the file
_WORD = 8  # bytes of a word's number
_TOLD = 20  # rows whose words are told
_SHOWN = 30


@dataclass(frozen=True)
class Parquet(FileSource):
    """Columns of numbers, truth values, and lists of them that are as long in every row. All floats are read as float,
    all ints as int; `categories` numbers words. What holds something else, such as a time, is no column."""

    categories: dict[str, Any] | None = None

    def schema(self) -> Schema:
        with self._file() as file:
            columns = {name: type for name, (_, type, _) in self._columns(file).items()}
            return Schema(columns, file.metadata.num_rows, texts=self._texts(file, columns))

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
        words = self._classes(file).get(name)
        made = None
        for batch in file.iter_batches(batch_size=rows, columns=[key], use_threads=False):
            before = 0 if made is None else made.count
            if words is None:
                array = self._array(batch.column(0), name, type, before)
            else:
                array = self._numbered(batch.column(0), words, name, before)
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
            raise self._unreadable(error) from error
        except OSError as error:
            if error.errno is None:  # what the library says of a file that it could open
                raise self._unreadable(error) from error
            raise self.cannot_open(error) from error

    def _unreadable(self, error: BaseException) -> Refusal:
        message = f"{self.path} is not a Parquet file that can be read"
        return Refusal(UnreadableData(message, self.span, notes=tuple(str(error).splitlines()[:1])))

    def _arrow(self, name: str) -> Any:
        try:
            return import_module(name)
        except ImportError as error:
            message = f"{self.path} needs pyarrow, which is not installed"
            raise Refusal(MissingPackage(message, self.span, help='pip install "dlc[data]"')) from error

    def _columns(self, file: Any) -> dict[str, tuple[str, Tensor, int]]:
        """What each column is called in the file, its type, and the bytes of a number, by its name in DL."""
        found: dict[str, tuple[str, Tensor, int]] = {}
        given = self._classes(file)
        for field in file.schema_arrow:
            name = identifier(field.name)
            if name in given and self._is_text(field.type):
                type = class_type(given[name])
            else:
                type = self._type(field.type, lambda field=field: self._first(file, field.name))
            if type is None or not name:
                continue
            if name in found:
                message = f"{self.path} has `{found[name][0]}` and `{field.name}`, both read as `{name}`"
                raise Refusal(BadHeader(message, self.span))
            found[name] = field.name, type, _WORD if name in given else self._width(field.type)
        return found

    def _classes(self, file: Any) -> dict[str, dict[str, int]]:
        words = [identifier(field.name) for field in file.schema_arrow if self._is_text(field.type)]
        return classes(self.categories, words, self.span)

    def _texts(self, file: Any, columns: Collection[str]) -> dict[str, str]:
        """The columns of words that have no categories, each with the categories of its first rows."""
        texts: dict[str, str] = {}
        for field in file.schema_arrow:
            if self._is_text(field.type) and (name := identifier(field.name)) not in columns:
                rows = next(iter(file.iter_batches(batch_size=_TOLD, columns=[field.name], use_threads=False)))
                words = sorted({word for word in rows.column(0).to_pylist() if word})
                texts[name] = f"categories=({name}=[{some(words)}])"
        return texts

    def _is_text(self, type: Any) -> bool:
        types: Any = self._arrow("pyarrow").types
        if types.is_dictionary(type):
            type = type.value_type
        return bool(types.is_string(type) or types.is_large_string(type))

    def _numbered(self, values: Any, words: dict[str, int], name: str, before: int) -> Any:
        """The numbers of words. Raises Refusal where one is no category."""
        arrow, compute = self._arrow("pyarrow"), self._arrow("pyarrow.compute")
        texts = values.cast(arrow.large_string())
        numbers = compute.index_in(texts, value_set=arrow.array(list(words), arrow.large_string()))
        if numbers.null_count:
            row = int(numbers.is_null().to_numpy(zero_copy_only=False).argmax())
            word = texts[row].as_py()
            found = "is empty" if word is None else f"holds `{word if len(word) <= _SHOWN else word[:_SHOWN] + '…'}`"
            message = f"row {before + row + 1}, column `{name}` of {self.path} {found}, and one of {some(words)} is due"
            near = nearest(word, words) if word else None
            raise Refusal(NotANumber(message, self.span, help=f"did you mean `{near}`?" if near else None))
        return numbers.cast(arrow.int64()).to_numpy(zero_copy_only=False)

    def _first(self, file: Any, key: str) -> Any:
        """The first entry of a column, as lists of lists."""
        return next(iter(file.iter_batches(batch_size=1, columns=[key], use_threads=False))).column(0).to_pylist()[0]

    def _type(self, type: Any, first: Callable[[], Any]) -> Tensor | None:
        """The type of a column, if it is of numbers. first: gives the first entry, which tells how long lists are whose
        type does not."""
        types: Any = self._arrow("pyarrow").types
        if self._nested(type):
            entry: Any = None if types.is_fixed_size_list(type) else first()
            size = type.list_size if types.is_fixed_size_list(type) else len(entry) if entry else 0
            inner = self._type(type.value_type, lambda: (first() or [None])[0])
            return None if inner is None or not size else Tensor.of(size, *inner.shape, dtype=inner.dtype)
        kinds = {DType.BOOL: types.is_boolean, DType.INT: types.is_integer, DType.FLOAT: types.is_floating}
        return next((Tensor.of(dtype=dtype) for dtype, is_kind in kinds.items() if is_kind(type)), None)

    def _width(self, type: Any) -> int:
        """The bytes of a number, as NumPy keeps it."""
        while self._nested(type):
            type = type.value_type
        return max(1, type.bit_width // 8)

    def _array(self, values: Any, name: str, type: Tensor, before: int) -> Any:
        """NumPy's array of some rows of a column, along axis 0. before: how many stand before them. Raises Refusal
        where an entry is null."""
        import numpy as np

        count = len(values)
        sizes = [int(size) for size in type.shape]
        for depth in range(type.rank + 1):
            if values.null_count:
                row = before + int(values.is_null().to_numpy(zero_copy_only=False).argmax()) * count // len(values)
                message = f"row {row + 1}, column `{name}` of {self.path} is empty, and a number is due"
                raise Refusal(NotANumber(message, self.span))
            if self._nested(values.type):
                self._check_sizes(values, sizes[depth], name, before, count)
                values = values.flatten()
        array = values.to_numpy(zero_copy_only=False)
        if array.dtype.kind == "u" and array.max() >= 2**63:
            raise Refusal(BadArray(f"`{name}` of {self.path} holds {array.max()}, too large for an int", self.span))
        return np.asarray(array).reshape(count, *(int(size) for size in type.shape))

    def _check_sizes(self, values: Any, size: int, name: str, before: int, count: int) -> None:
        """Refuses lists of another size than that of the first row."""
        if self._arrow("pyarrow").types.is_fixed_size_list(values.type):
            return
        lengths = values.value_lengths().to_numpy(zero_copy_only=False)
        wrong = (lengths != size).nonzero()[0]
        if len(wrong):
            row = before + int(wrong[0]) * count // len(values)
            found = f"row {row + 1}, column `{name}` of {self.path} has a list of {lengths[wrong[0]]}"
            raise Refusal(RaggedRow(f"{found}, and the first row one of {size}", self.span))

    def _nested(self, type: Any) -> bool:
        types: Any = self._arrow("pyarrow").types
        return bool(types.is_fixed_size_list(type) or types.is_list(type) or types.is_large_list(type))
