"""Calls of some sizes in the way that is the fastest for them: large batches in slices, sizes that no longer vary.

What a batch of 32 leaves between two operations may be too large for the caches that hold it for two examples. Where
a model computes each example by itself, the batch may as well be run a few examples at a time: one slice after the
other, each by all threads, or several abreast, by a thread each, which do not wait for each other after each operation.

A model that is opened for one size of its pictures, or one length of its sequences, tells onnxruntime which tensors
have the size of which others, so that it reuses their memory and adds in place.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_SHORT, _TURN = 0.15, 0.05  # seconds that calls are repeated for, at first and in each turn
_FINALISTS, _ROUNDS = 3, 7  # the fastest that are measured in turn, beside the whole, and how often
_LOST = 1.25  # times what the fastest of its kind takes: smaller slices are no better
_WORTH = 0.98  # of the time of the whole batch: what is worth while, in the median
_WON = _ROUNDS - 1  # rounds at least that it has to be the faster in


@dataclass(frozen=True, slots=True)
class Way:
    """How a batch is run: so many examples at a time, none for all, and so many slices abreast, by a thread each.

    fixed: whether the model was opened once more for the sizes of these calls, all but that of the batch where this is
    cut. seconds: what a call took.
    """

    examples: int | None = None
    abreast: int = 1
    fixed: bool = False
    seconds: float = field(default=0.0, compare=False)

    def __str__(self) -> str:
        parts = ["all at once" if self.examples is None else f"{self.examples} at a time"]
        parts += [f"{self.abreast} abreast"] * (self.abreast > 1) + ["sizes fixed"] * self.fixed
        return ", ".join(parts)


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


class Opens(Protocol):
    """Opens a model: for calls by one thread or by all, and for sizes that are the same in all calls."""

    def __call__(self, *, alone: bool, sizes: Mapping[str, int]) -> Any: ...


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is known of calls of some sizes. fixed: the sizes that a model may be opened for. made: the shapes and
    element types of the outputs."""

    fixed: Mapping[str, int]
    made: Mapping[str, tuple[tuple[int, ...], Any]]


class Slices:
    """Calls of a model in onnxruntime, in the ways that were found to be the fastest for their sizes.

    opens: opens the model, for all threads and sizes first. inputs: the numbers and names of their axes, where they are
    known. outputs: their names. threads: how many slices are run abreast, 1 for none.
    """

    def __init__(
        self, opens: Opens, inputs: Mapping[str, Sequence[int | str]], outputs: Sequence[str], threads: int
    ) -> None:
        self._opens, self._inputs, self._outputs, self._threads = opens, inputs, outputs, threads
        self._session = opens(alone=False, sizes={})
        self._opened: dict[_Opening, Any] = {_AS_IT_IS: self._session}
        self._pool = ThreadPoolExecutor(threads)
        self._known: dict[_Sizes, Way] = {}
        self._kinds: dict[_Sizes, _Kind] = {}
        self._cut: frozenset[str] = frozenset()

    def run(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        if not self._known:  # which is not worth a look at the sizes
            return self._whole(self._session, arrays)
        return self.by(self._known.get(_sizes(arrays), _WHOLE), arrays)

    def tune(self, arrays: Mapping[str, Array], cut: Sequence[str]) -> Tuning:
        """Measures the ways in which a call may be run. cut: the inputs that lie along the examples; none where these
        stay together."""
        sizes = _sizes(arrays)
        self._known.pop(sizes, None)
        outputs = self._whole(self._session, arrays)
        self._cut = frozenset(cut)
        made = {name: (array.shape, array.dtype) for name, array in outputs.items()}
        del outputs
        self._kinds[sizes] = _Kind(self._fixed(arrays), made)
        tuning = self._measured(arrays, len(arrays[cut[0]]) if cut else 1)
        if tuning.chosen != _WHOLE:
            self._known[sizes] = tuning.chosen
        used = {_AS_IT_IS, *(_opening(way, self._kinds[sizes]) for sizes, way in self._known.items())}
        self._opened = {opening: session for opening, session in self._opened.items() if opening in used}
        return tuning

    def _measured(self, arrays: Mapping[str, Array], count: int) -> Tuning:
        """count: of the examples, 1 where these stay together."""
        trials = Trials(lambda way: self.by(way, arrays))
        whole, fixed = trials.measure(_WHOLE), False
        if self._kinds[_sizes(arrays)].fixed:
            fixed = trials.measure(Way(fixed=True)) < whole
        if count > 1:
            for abreast in sorted({1, self._threads}):
                trials.descend(_halves(count, abreast, fixed=fixed))
        return trials.finish()

    def _fixed(self, arrays: Mapping[str, Array]) -> dict[str, int]:
        """The sizes of the inputs' named axes, but for that of the examples, of which a slice has fewer."""
        found: dict[str, set[int]] = {}
        for name in arrays.keys() & self._inputs.keys():
            for dim, size in zip(self._inputs[name], arrays[name].shape, strict=True):
                if isinstance(dim, str) and dim:
                    found.setdefault(dim, set()).add(size)
        counts = {self._inputs[name][0] for name in self._cut & self._inputs.keys()}
        return {dim: min(sizes) for dim, sizes in found.items() if len(sizes) == 1 and dim not in counts}

    def by(self, way: Way, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs in a way that is not known to be the fastest, for sizes that were tuned."""
        import numpy as np

        if way == _WHOLE:
            return self._whole(self._session, arrays)
        kind = self._kinds[_sizes(arrays)]
        session = self._of(way, kind)
        if way.examples is None:
            return self._whole(session, arrays)
        made = {name: np.empty(shape, dtype) for name, (shape, dtype) in kind.made.items()}
        given = {name: np.asarray(array, order="C") for name, array in arrays.items()}  # a scalar stays one
        count = len(next(iter(made.values())))
        places = [slice(start, min(start + way.examples, count)) for start in range(0, count, way.examples)]
        if way.abreast == 1:
            for place in places:
                self._slice(session, given, made, place)
            return made
        for each in [self._pool.submit(self._slice, session, given, made, place) for place in places]:
            each.result()
        return made

    def _whole(self, session: Any, arrays: Mapping[str, Array]) -> dict[str, Array]:
        results: list[Any] = session.run(self._outputs, dict(arrays))
        return dict(zip(self._outputs, results, strict=True))

    def _of(self, way: Way, kind: _Kind) -> Any:
        """The session that runs calls in a way, opened where it is first met."""
        opening = _opening(way, kind)
        if opening not in self._opened:
            alone, sizes = opening
            self._opened[opening] = self._opens(alone=alone, sizes=dict(sizes))
        return self._opened[opening]

    def _slice(self, session: Any, given: Mapping[str, Array], made: Mapping[str, Array], place: slice) -> None:
        """Runs some of the examples. Their outputs are written where they belong."""
        binding = session.io_binding()
        for name, array in given.items():
            binding.bind_cpu_input(name, array[place] if name in self._cut else array)
        for name, array in made.items():
            part = array[place]
            binding.bind_output(name, "cpu", 0, part.dtype, part.shape, part.ctypes.data)
        session.run_with_iobinding(binding)


_Opening = tuple[bool, frozenset[tuple[str, int]]]  # whether for a single thread, and the sizes
_AS_IT_IS: _Opening = (False, frozenset())


def _opening(way: Way, kind: _Kind) -> _Opening:
    return way.abreast > 1, frozenset(kind.fixed.items() if way.fixed else ())


_Sizes = frozenset[tuple[str, tuple[int, ...]]]


def _sizes(arrays: Mapping[str, Array]) -> _Sizes:
    return frozenset((name, array.shape) for name, array in arrays.items())


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _halves(count: int, abreast: int, *, fixed: bool) -> Iterator[Way]:
    """The batch in slices that are halved, from as many slices as are run at once, or from two on."""
    slices = max(abreast, 2)
    while slices < 2 * count:
        yield Way(-(-count // min(slices, count)), abreast, fixed)
        slices *= 2


class Trials:
    """What calls take that `call` makes, of the whole batch and in other ways.

    A machine is not as fast at all times: each way is first judged by the best that it shows, and the fastest of them
    by what part they take of the time of the whole batch, in turn with it. What is faster in nearly every round is so
    by more than chance.
    """

    def __init__(self, call: Callable[[Way], object]) -> None:
        self._call = call
        self._least: dict[Way, float] = {}

    def measure(self, way: Way) -> float:
        """The least that calls took, after one that is not counted."""
        self._call(way)
        self._least[way] = min(self._repeated(way, _SHORT))
        return self._least[way]

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
        finalists = sorted(self._least, key=lambda way: self._least[way])[:_FINALISTS]
        rounds: dict[Way, list[float]] = {way: [] for way in (_WHOLE, *finalists)}
        for _ in range(_ROUNDS if len(rounds) > 1 else 1):
            for way, medians in rounds.items():
                if self._least[way] < _TURN:  # the threads of another way still wait busily for more
                    self._call(way)
                medians.append(statistics.median(self._repeated(way, _TURN)))
        whole = rounds[_WHOLE]
        parts = {way: [each / other for each, other in zip(taken, whole, strict=True)] for way, taken in rounds.items()}
        medians = {way: statistics.median(found) for way, found in parts.items()}
        seconds = self._least | {way: part * statistics.median(whole) for way, part in medians.items()}
        tried = sorted(self._least, key=lambda way: (way.abreast, -(way.examples or math.inf), way.fixed))
        ways = {way: replace(way, seconds=seconds[way]) for way in tried}
        worth = [way for way in medians if medians[way] <= _WORTH and sum(part < 1 for part in parts[way]) >= _WON]
        return Tuning(tuple(ways.values()), ways[min(worth, key=lambda way: medians[way], default=_WHOLE)])

    def _repeated(self, way: Way, seconds: float) -> list[float]:
        """What each of the calls took that are begun within so many seconds."""
        taken: list[float] = []
        now = time.perf_counter()
        end = now + seconds
        while now <= end:
            start = time.perf_counter()
            self._call(way)
            now = time.perf_counter()
            taken.append(now - start)
        return taken
