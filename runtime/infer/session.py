"""A model, opened in onnxruntime and called with arrays that are checked first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from dlc.runtime.infer.description import Description, Port, describe
from dlc.runtime.infer.engine import Engine, Options
from dlc.runtime.infer.isolated import Isolated, Limits
from dlc.runtime.infer.slices import Tuning

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


class Session:
    """An ONNX model, one that `dlc export` has written or any other.

    path: the `.onnx` file; weights beside it are found. The model is run in a process of its own, with limits on its
    memory and time, so that no file, whatever it says of itself, can end or exhaust this one.

    trusted: run it in this process, which starts faster and copies no arrays; for a file of which you know who wrote
    it. limits: of the process, none for the usual ones. provider: what computes, such as `CUDA`. threads: how many
    compute an operation, none for onnxruntime's choice. spinning: whether they wait for work busily. prepared: keep
    what onnxruntime's optimiser makes of the model in a folder beside it, `model.onnx.prepared`, and open that from
    then on, which is faster; it is made anew where it is of another file, version or processor. seed: of the noise
    that is not given, in a model whose draws are inputs; none for other noise in each session.

    Raises Refusal for a file that is no model, is damaged or lies, whose weights lie elsewhere, or that needs what
    onnxruntime does not have.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        provider: str = "CPU",
        threads: int | None = None,
        spinning: bool = True,
        prepared: bool = False,
        trusted: bool = False,
        limits: Limits | None = None,
        seed: int | None = None,
    ) -> None:
        import numpy as np

        self._random = np.random.default_rng(seed)
        given = Path(path)
        options = Options(provider, threads, spinning, prepared)
        self._engine: _Runs = Engine(given, options) if trusted else Isolated(given, options, limits or Limits())
        try:
            self._description: Description = describe(self._engine.description, str(path))
        except BaseException:
            self.close()
            raise

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
        """The outputs by name, for the inputs by name: arrays, numbers or nested lists. Noise may be left out.

        Raises Refusal where a name, an element type, a shape or a range does not fit, where sizes break a
        requirement of the spec, where onnxruntime stops, and where a limit is reached.
        """
        return self.call(arrays)

    def call(self, arrays: Mapping[str, Any]) -> dict[str, Array]:
        """As `run`, for names that Python has no syntax for."""
        return self._engine.run(self._fitting(arrays))

    def tune(self, arrays: Mapping[str, Any]) -> Tuning:
        """Measures how calls with inputs of these sizes are run fastest, and runs them so from now on.

        The model may be opened once more for these sizes alone. A batch may be run in slices, one after the other or
        several at once, where the model says that it computes each example by itself, as `dlc export` proves it;
        outputs differ in their last bits, as sums are taken in another order. It takes some fifty calls, and more of
        short ones; each session that is opened has the weights in memory once more. Raises Refusal as `run` does.
        """
        return self._engine.tune(self._fitting(arrays), self._description.apart)

    def time(
        self, arrays: Mapping[str, Any], *, least: int = 10, seconds: float = 1.0, warm: float = 0.3
    ) -> list[float]:
        """How many seconds each of several runs takes, without what checking and handing over arrays costs.

        There are at least `least` runs, for so many seconds, after others for `warm` seconds. Raises Refusal.
        """
        return self._engine.time(self._fitting(arrays), least=least, seconds=seconds, warm=warm)

    def close(self) -> None:
        """Ends the model's process, if it has one."""
        if isinstance(self._engine, Isolated):
            self._engine.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        with suppress(AttributeError, TypeError):  # not opened at all, or the interpreter ends
            self.close()

    def _fitting(self, arrays: Mapping[str, Any]) -> dict[str, Array]:
        from dlc.runtime.infer.binding import fit
        from dlc.runtime.infer.inputs import from_python

        ports = {port.name: port for port in self.inputs}
        given = {name: from_python(value, ports.get(name)) for name, value in arrays.items()}
        return fit(self._description, given, self._random)


class _Runs(Protocol):
    """What a model is run by: onnxruntime here, or a process that has it."""

    @property
    def description(self) -> Mapping[str, Any]: ...

    def run(self, arrays: Mapping[str, Array]) -> dict[str, Array]: ...

    def tune(self, arrays: Mapping[str, Array], cut: Sequence[str]) -> Tuning: ...

    def time(self, arrays: Mapping[str, Array], *, least: int, seconds: float, warm: float) -> list[float]: ...
