"""A model in onnxruntime, within this process: how it is opened, run and timed."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.compiler.onnx.opset import OPSET
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.errors import CannotWrite
from dlc.runtime.infer import prepared
from dlc.runtime.infer.description import document
from dlc.runtime.infer.errors import RunFailed, UnreadableModel, UnsupportedModel
from dlc.runtime.infer.providers import SUFFIX, resolve
from dlc.runtime.infer.slices import Slices, Tuning, processors
from dlc.runtime.infer.stored import Stored, line_of, read_stored

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_FATAL_ALONE = 4  # what else goes wrong is raised, and told by us
_NODE = re.compile(r"Name:'([^']*)'")
_OWN_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc"}
_CPU = "CPUExecutionProvider"


@dataclass(frozen=True, slots=True)
class Options:
    """How onnxruntime computes.

    provider: an execution provider, by its name or a part of it, such as `CUDA`. threads: how many compute an
    operation, none for onnxruntime's choice, a thread a core. spinning: whether they wait for work busily, which
    makes small models faster and costs processor time between two calls. prepared: open what onnxruntime made of the
    model before, kept beside it, and make it where there is none that holds here.
    """

    provider: str = "CPU"
    threads: int | None = None
    spinning: bool = True
    prepared: bool = False

    def document(self) -> dict[str, Any]:
        return asdict(self)


class Engine:
    """A model that was opened. Raises Refusal where its file is not to be believed, and where onnxruntime refuses."""

    def __init__(self, path: Path, options: Options) -> None:
        self._path = path
        stored = read_stored(path)
        _refuse_strangers(path, stored)
        self.description = document(stored)

        def opens(*, alone: bool, sizes: Mapping[str, int]) -> Any:
            threads = 1 if alone else options.threads
            prepared = options.prepared and not sizes  # what is prepared is for all sizes
            return _open(path, stored, replace(options, threads=threads, prepared=prepared), sizes)

        self._slices = Slices(
            opens,
            {value.name: value.shape for value in stored.inputs if value.shape is not None},
            [value.name for value in stored.outputs],
            (options.threads or processors()) if resolve(options.provider) == _CPU else 1,
        )

    def run(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name, for inputs that fit. Raises Refusal where onnxruntime stops."""
        try:
            return self._slices.run(arrays)
        except _failures() as error:
            raise self._failure(str(error)) from None

    def tune(self, arrays: Mapping[str, Array], cut: Sequence[str]) -> Tuning:
        """Measures how calls of such sizes are run fastest, and runs them so from now on.

        cut: the inputs that may be cut along axis 0, where parts of a batch give the parts of its outputs. Raises
        Refusal where onnxruntime stops.
        """
        try:
            return self._slices.tune(arrays, cut)
        except _failures() as error:
            raise self._failure(str(error)) from None

    def time(self, arrays: Mapping[str, Array], *, least: int, seconds: float, warm: float) -> list[float]:
        """The seconds of each of at least `least` runs, for so many seconds, after a time of warming up."""
        ready = time.perf_counter() + warm
        self.run(arrays)
        while time.perf_counter() < ready:
            self.run(arrays)
        taken: list[float] = []
        begin = time.perf_counter()
        while len(taken) < least or time.perf_counter() - begin < seconds:
            start = time.perf_counter()
            self.run(arrays)
            taken.append(time.perf_counter() - start)
        return taken

    def _failure(self, message: str) -> Refusal:
        """What onnxruntime has to say, with the line of the node that it names, perhaps with words of its own added."""
        found = _NODE.search(message)
        name = self.description["name"]
        line = line_of(self._path, found[1]) if found else None
        if line is None or found is None:
            return Refusal(RunFailed(f"onnxruntime could not run {name}", None, notes=(message,)))
        return Refusal(RunFailed(f"onnxruntime stopped at `{found[1]}`, from {line}", None, notes=(message,)))


def _refuse_strangers(path: Path, stored: Stored) -> None:
    """Operators of other domains than onnxruntime's own are programs that would have to be loaded."""
    known = stored.functions
    for domain, kind in stored.operators:
        if domain not in _OWN_DOMAINS and (domain, kind) not in known:
            raise Refusal(
                UnsupportedModel(f"{path} uses `{domain}:{kind}`, an operator that onnxruntime does not have", None)
            )


def _open(path: Path, stored: Stored, options: Options, sizes: Mapping[str, int]) -> Any:
    """A session. sizes: of names of axes, where they are the same in all calls."""
    onnxruntime: Any = import_module("onnxruntime")  # which comes without types
    provider = resolve(options.provider)
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = _FATAL_ALONE
    if options.threads is not None:
        settings.intra_op_num_threads = options.threads
    for name, size in sizes.items():
        settings.add_free_dimension_override_by_name(name, size)
    if not options.spinning:
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    asked = [provider, *({_CPU} - {provider})]
    try:
        if options.prepared:
            session = _prepared(path, stored, provider, settings, asked)
        else:
            session = onnxruntime.InferenceSession(str(path.resolve()), settings, providers=asked)
    except _failures() as error:
        raise Refusal(_refused(path, stored, provider, str(error))) from None
    started(session.get_providers(), provider)
    return session


def _prepared(path: Path, stored: Stored, provider: str, settings: Any, asked: list[str]) -> Any:
    """A session from the prepared form of a model, which is made first where there is none that holds here.

    Raises Refusal where it cannot be written.
    """
    onnxruntime: Any = import_module("onnxruntime")
    place = path.resolve()
    due = prepared.stamp(place, (each.location for each in stored.external), provider)
    found = prepared.find(place, due)
    if found is not None:
        read_stored(found)
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        return onnxruntime.InferenceSession(str(found), settings, providers=asked)
    made: Path | None = None
    try:
        made = prepared.begin(place, settings)
        session = onnxruntime.InferenceSession(str(place), settings, providers=asked)
        prepared.finish(place, made, due)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        told = f"the prepared form of {path} cannot be written beside it: {reason}"
        raise Refusal(CannotWrite(told, None)) from None
    finally:
        if made is not None:
            prepared.discard(made)
    return session


def started(providers: Sequence[str], asked: str) -> None:
    """Refuses a session whose provider did not start: onnxruntime goes on with another and only says so in its log."""
    from dlc.runtime.infer.errors import UnknownProvider

    if not providers or providers[0] != asked:
        told = f"{asked} is part of the onnxruntime that is installed, but does not start here"
        raise Refusal(UnknownProvider(told, None, help="its libraries, or its device, may be missing"))


def _refused(path: Path, stored: Stored, provider: str, message: str) -> UnreadableModel | UnsupportedModel:
    """Why onnxruntime refuses a file: for what it does not have, or for what is wrong with it."""
    known = _operators()
    newest: dict[str, int] = {}
    for (domain, _), since in known.items():
        newest[domain] = max(newest.get(domain, 0), since)
    for domain, opset in stored.opsets.items():
        plain = "" if domain == "ai.onnx" else domain
        if plain in newest and opset > newest[plain]:
            told = f"{path} is written in opset {opset} of {plain or 'ONNX'}, and the installed onnxruntime knows"
            return UnsupportedModel(f"{told} {newest[plain]} at most", None, notes=(message,))
    for domain, kind in stored.operators:
        plain = "" if domain == "ai.onnx" else domain
        if (plain, kind) not in known and (domain, kind) not in stored.functions:
            told = f"{path} uses `{f'{plain}:' if plain else ''}{kind}`, an operator that onnxruntime does not have"
            return UnsupportedModel(told, None)
    if "IR version" in message or "ir_version" in message:
        told = f"{path} has version {stored.version} of ONNX's format, which the installed onnxruntime does not know"
        return UnsupportedModel(told, None, notes=(message,))
    if provider != _CPU and max(stored.opsets.values(), default=0) > OPSET:
        told = f"onnxruntime's provider {provider.removesuffix(SUFFIX)} cannot open {path}"
        help = f"`dlc export --opset {OPSET}` writes a model without the operators of later versions"
        return UnsupportedModel(told, None, notes=(message.strip(),), help=help)
    return UnreadableModel(f"onnxruntime cannot open {path}", None, notes=(message.strip(),))


def _operators() -> dict[tuple[str, str], int]:
    """The operators that onnxruntime has, and the newest version of each."""
    state: Any = import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    known: dict[tuple[str, str], int] = {}
    for schema in state.get_all_operator_schema():
        key = str(schema.domain), str(schema.name)
        known[key] = max(known.get(key, 0), int(schema.since_version))
    return known


def _failures() -> tuple[type[Exception], ...]:
    """What onnxruntime raises; its exceptions have no base of their own. Memory that runs out is another."""
    kinds = vars(import_module("onnxruntime.capi.onnxruntime_pybind11_state")).values()
    own = (kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Exception))
    return (*own, RuntimeError, MemoryError, ValueError)
