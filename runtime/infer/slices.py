"""Large batches in slices: every way to cut one is measured, and calls of its sizes run in the fastest from then on.

What a batch of 32 leaves between two operations may be too large for the caches that hold it for two examples. Where
a model computes each example by itself, the batch may as well be run a few examples at a time: one slice after the
other, each by all threads, or several abreast, by a thread each, which do not wait for each other after each operation.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_SHORT, _TURN = 0.15, 0.05  # seconds that calls are repeated for, at first and in each turn
_FINALISTS, _ROUNDS = 3, 4  # the fastest that are measured in turn, beside the whole, and how often
_LOST = 1.25  # times what the fastest of its kind takes: smaller slices are no better
_WORTH = 0.97  # of the time of the whole batch: what is worth while


@dataclass(frozen=True, slots=True)
class Way:
    """How a batch is run: so many examples at a time, none for all, and so many slices abreast, by a thread each.

    seconds: what a call took, in the median.
    """

    examples: int | None = None
    abreast: int = 1
    seconds: float = field(default=0.0, compare=False)

    def __str__(self) -> str:
        beside = f", {self.abreast} abreast" if self.abreast > 1 else ""
        return "all at once" if self.examples is None else f"{self.examples} at a time{beside}"


_WHOLE = Way()


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was measured of calls of some sizes.

    ways: those that were tried, first the whole batch at once. chosen: how such calls are run from now on.
    """

    ways: tuple[Way, ...]
    chosen: Way

    @property
    def gain(self) -> float:
        """How many times as fast as the whole batch at once."""
        return self.ways[0].seconds / self.chosen.seconds


class Slices:
    """Calls of a model in onnxruntime, in the ways that were found to be the fastest for their sizes.

    session: runs a call with all threads. outputs: their names. alone: opens the model once more, for calls by a single
    thread; none where slices are not run abreast. threads: how many there are.
    """

    def __init__(self, session: Any, outputs: Sequence[str], alone: Callable[[], Any] | None, threads: int) -> None:
        self._session, self._outputs = session, outputs
        self._alone, self._threads = alone, threads
        self._single: Any = None
        self._pool = ThreadPoolExecutor(1)
        self._known: dict[_Sizes, Way] = {}
        self._shapes: dict[_Sizes, _Shapes] = {}
        self._cut: frozenset[str] = frozenset()

    def run(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        if not self._known:  # which is not worth a look at the sizes
            return self._whole(arrays)
        return self.by(self._known.get(_sizes(arrays), _WHOLE), arrays)

    def tune(self, arrays: Mapping[str, Array], cut: Sequence[str]) -> Tuning:
        """Measures the ways in which a call may be run. cut: the inputs that lie along the examples; none for no way
        but the whole."""
        sizes = _sizes(arrays)
        self._known.pop(sizes, None)
        outputs = self._whole(arrays)
        self._shapes[sizes] = {name: (array.shape, array.dtype) for name, array in outputs.items()}
        del outputs
        self._cut = frozenset(cut)
        count = len(arrays[cut[0]]) if cut else 0
        trials = Trials(lambda way: self.by(way, arrays))
        trials.measure(_WHOLE)
        if count > 1:
            trials.descend(_halves(count, 1))
            if self._alone is not None and self._threads > 1:
                trials.descend(_halves(count, self._threads))
        tuning = trials.finish()
        if tuning.chosen != _WHOLE:
            self._known[sizes] = tuning.chosen
        if all(way.abreast == 1 for way in self._known.values()):
            self._single = None
        return tuning

    def _whole(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        results: list[Any] = self._session.run(self._outputs, dict(arrays))
        return dict(zip(self._outputs, results, strict=True))

    def by(self, way: Way, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs in a way that is not known to be the fastest, for sizes that were tuned."""
        import numpy as np

        if way.examples is None:
            return self._whole(arrays)
        made = {name: np.empty(shape, dtype) for name, (shape, dtype) in self._shapes[_sizes(arrays)].items()}
        given = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        count = len(next(iter(made.values())))
        places = [slice(start, min(start + way.examples, count)) for start in range(0, count, way.examples)]
        if way.abreast == 1:
            for place in places:
                self._slice(self._session, given, made, place)
            return made
        if self._single is None:
            assert self._alone is not None
            self._single = self._alone()
            self._pool = ThreadPoolExecutor(way.abreast)
        for each in [self._pool.submit(self._slice, self._single, given, made, place) for place in places]:
            each.result()
        return made

    def _slice(self, session: Any, given: Mapping[str, Array], made: Mapping[str, Array], place: slice) -> None:
        """Runs some of the examples. Their outputs are written where they belong."""
        binding = session.io_binding()
        for name, array in given.items():
            binding.bind_cpu_input(name, array[place] if name in self._cut else array)
        for name, array in made.items():
            part = array[place]
            binding.bind_output(name, "cpu", 0, part.dtype, part.shape, part.ctypes.data)
        session.run_with_iobinding(binding)


_Sizes = frozenset[tuple[str, tuple[int, ...]]]
_Shapes = dict[str, tuple[tuple[int, ...], Any]]


def _sizes(arrays: Mapping[str, Array]) -> _Sizes:
    return frozenset((name, array.shape) for name, array in arrays.items())


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _halves(count: int, abreast: int) -> Iterator[Way]:
    """The batch in slices that are halved, from as many slices as are run at once, or from two on."""
    slices = max(abreast, 2)
    while slices < 2 * count:
        yield Way(-(-count // min(slices, count)), abreast)
        slices *= 2


class Trials:
    """What calls take that `call` makes, of the whole batch and in other ways.

    A machine is not as fast at all times: each way is first judged by the best that it shows, and the fastest of them
    by what they take in turn with the whole batch.
    """

    def __init__(self, call: Callable[[Way], object]) -> None:
        self._call = call
        self._taken: dict[Way, list[float]] = {}

    def measure(self, way: Way) -> float:
        """The least that calls took, after one that is not counted."""
        self._call(way)
        self._repeat(way, _SHORT)
        return min(self._taken[way])

    def descend(self, ways: Iterable[Way]) -> None:
        """Measures one after the other, until they have become far slower than the fastest of them."""
        best = float("inf")
        for way in ways:
            taken = self.measure(way)
            if taken > _LOST * best:
                return
            best = min(best, taken)

    def finish(self) -> Tuning:
        """What was found, once the fastest were measured in turn."""
        close = sorted(self._taken, key=lambda way: min(self._taken[way]))[:_FINALISTS]
        if len(self._taken) > 1:
            again = {way: min(self._taken.pop(way)) for way in {_WHOLE, *close}}
            for _ in range(_ROUNDS):
                for way, least in again.items():
                    if least < _TURN:  # the threads of another way still wait busily for more
                        self._call(way)
                    self._repeat(way, _TURN)
        fastest = min(close, key=self._median)
        tried = sorted(self._taken, key=lambda way: (way != _WHOLE, way.abreast, -(way.examples or 0)))
        ways = {way: Way(way.examples, way.abreast, self._median(way)) for way in tried}
        worth = self._median(fastest) <= _WORTH * self._median(_WHOLE)
        return Tuning(tuple(ways.values()), ways[fastest if worth else _WHOLE])

    def _repeat(self, way: Way, seconds: float) -> None:
        taken = self._taken.setdefault(way, [])
        end = time.perf_counter() + seconds
        while True:
            start = time.perf_counter()
            self._call(way)
            now = time.perf_counter()
            taken.append(now - start)
            if now > end:
                return

    def _median(self, way: Way) -> float:
        return statistics.median(self._taken[way])
