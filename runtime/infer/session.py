"""An exported model, opened in onnxruntime and called with arrays that are checked first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from dlc.grammar.diagnostics import Refusal
from dlc.runtime.infer.description import Description, Port, read_description
from dlc.runtime.infer.errors import RunFailed, UnreadableModel, UnsafeModel

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_FATAL_ALONE = 4  # what else goes wrong is raised, and told by us
_NODE = re.compile(r"Name:'([^']*)'")
_PROVIDER = "CPUExecutionProvider"


class Session:
    """A model that `dlc export` has written.

    path: the `.onnx` file; weights beside it are found. threads: how many compute an operation, none for
    onnxruntime's choice. Raises Refusal for a file that is no such model, or whose weights lie elsewhere.
    """

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        given = Path(path)
        self._description = read_description(given)
        _refuse_strays(given, self._description)
        self._session = _open(given, threads)

    @property
    def name(self) -> str:
        """The model's name in its spec."""
        return self._description.spec

    @property
    def inputs(self) -> tuple[Port, ...]:
        return self._description.inputs

    @property
    def outputs(self) -> tuple[Port, ...]:
        return self._description.outputs

    def run(self, **arrays: Any) -> dict[str, Array]:
        """The outputs by name, for the inputs by name: arrays, numbers or nested lists.

        Raises Refusal where a name, an element type, a shape or a range does not fit, where sizes break a
        requirement of the spec, and where onnxruntime stops.
        """
        return self.call(arrays)

    def call(self, arrays: Mapping[str, Any]) -> dict[str, Array]:
        """As `run`, for names that Python has no syntax for."""
        from dlc.runtime.infer.binding import fit
        from dlc.runtime.infer.inputs import from_python

        ports = {port.name: port for port in self.inputs}
        given = {name: from_python(value, ports.get(name)) for name, value in arrays.items()}
        fitting = fit(self._description, given)
        names = [port.name for port in self.outputs]
        try:
            results: list[Any] = self._session.run(names, fitting)
        except _failures() as error:
            raise Refusal(self._failure(str(error))) from None
        return dict(zip(names, results, strict=True))

    def _failure(self, message: str) -> RunFailed:
        """What onnxruntime has to say, with the line of the node that it names, perhaps with words of its own added."""
        found = _NODE.search(message)
        lines = self._description.lines
        node = max((name for name in lines if found and name in found[1]), key=len, default=None)
        if node is None:
            return RunFailed(f"onnxruntime could not run {self.name}", None, notes=(message,))
        return RunFailed(f"onnxruntime stopped at `{node}`, from {lines[node]}", None, notes=(message,))


def _refuse_strays(path: Path, description: Description) -> None:
    """Weights in other files must lie in the model's folder, as themselves and not as links."""
    folder = path.resolve().parent
    for location in dict.fromkeys(description.external):
        absolute = PurePosixPath(location).is_absolute() or PureWindowsPath(location).is_absolute()
        stored = folder / location
        if absolute or PureWindowsPath(location).drive or ".." in PureWindowsPath(location).parts:
            raise Refusal(UnsafeModel(f"{path} keeps weights outside its folder, in {location}", None))
        if stored.resolve() != stored:
            raise Refusal(UnsafeModel(f"{path} keeps weights behind a link, {location}", None))
        if not stored.is_file():
            raise Refusal(UnreadableModel(f"{path} needs {location} beside it, which is missing", None))


def _open(path: Path, threads: int | None) -> Any:
    onnxruntime: Any = import_module("onnxruntime")  # which comes without types
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ALONE
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(str(path.resolve()), options, providers=[_PROVIDER])
    except _failures() as error:
        raise Refusal(UnreadableModel(f"onnxruntime cannot open {path}", None, notes=(str(error),))) from None


def _failures() -> tuple[type[Exception], ...]:
    """What onnxruntime raises; its exceptions have no base of their own."""
    kinds = vars(import_module("onnxruntime.capi.onnxruntime_pybind11_state")).values()
    return tuple(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Exception))
