"""The most memory that a step holds at once: its calls are gone through, and what each makes and frees is counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dlc.compiler.dim import Dim, Symbol
from dlc.compiler.memory.recording import Recording
from dlc.compiler.memory.records import Block, Held, Record, size_of

Sizes = Mapping[Symbol, int]


@dataclass(frozen=True, slots=True)
class Descent:
    """A gradient step within a step: after so many calls, from these values down. over: the paths of the weights that
    it updates, all where there are none. A gradient is given where values are no losses but outputs."""

    after: int
    values: tuple[Held, ...]
    over: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Taken:
    """Bytes that a step takes beside weights and what an optimiser remembers of them.

    inputs: what is given. held: what gradients are computed from, when the last call has run. peak: the most that lies
    there at once, inputs and gradients included.
    """

    inputs: int
    held: int
    peak: int


@dataclass(slots=True)
class _Gradient:
    size: int
    users: int = 1


class Simulation:
    """One step at given sizes. adds: gradients are added to those of steps before, which are there from the start."""

    def __init__(self, recording: Recording, descents: Sequence[Descent], sizes: Sizes, *, adds: bool = False) -> None:
        self._records = recording.records
        self._sizes = sizes
        self._bytes: dict[Block, int] = {}
        self._descents = [(descent, _ancestors(self._records, descent)) for descent in descents]
        self._keepers: dict[Block, set[int]] = {}
        self._keeping = dict(_kept(recording, set[int]().union(*(found for _, found in self._descents))))
        for number, blocks in self._keeping.items():
            for block in blocks:
                self._keepers.setdefault(block, set()).add(number)
        self._again = recording.again
        self._last = _last_uses(recording)
        self._live: set[Block] = set()
        self._now = self.peak = self._held = 0
        self._weights: dict[str, int] = {}
        self._inputs = sum(map(self._size, recording.given))
        self._adds = adds

    def run(self) -> Taken:
        """Goes through the whole step."""
        self._rise(self._inputs)
        if self._adds:
            for descent, found in self._descents:
                for number in found:
                    for path, size in _updated(self._records[number], descent):
                        if path not in self._weights:
                            self._weights[path] = size.evaluate(self._sizes)
                            self._rise(self._weights[path])
        at = {descent.after: (descent, found) for descent, found in self._descents}
        for number, record in enumerate(self._records):
            for block in record.made:
                self._live.add(block)
                self._rise(self._size(block))
            self._reach(record.scratch.evaluate(self._sizes))
            for block in {held.block for held in (*record.reads, *record.gives)} | set(record.made):
                self._release(block, number)
            self._held = max(self._held, sum(self._size(block) for block in self._live if block in self._keepers))
            if number + 1 in at:
                self._descend(*at[number + 1])
        return Taken(self._inputs, self._held, self.peak)

    def _size(self, block: Block) -> int:
        if block not in self._bytes:
            size = block.kept if block in self._keepers else block.size
            self._bytes[block] = size.evaluate(self._sizes)
        return self._bytes[block]

    def _rise(self, size: int) -> None:
        self._now += size
        self.peak = max(self.peak, self._now)

    def _reach(self, above: int) -> None:
        """Holds so much more for a moment."""
        self.peak = max(self.peak, self._now + above)

    def _release(self, block: Block, now: int) -> None:
        """Frees a block that nothing reads after `now`, nor keeps."""
        if block in self._live and self._last.get(block, -1) <= now and not self._keepers.get(block):
            self._live.remove(block)
            self._now -= self._size(block)

    # --- backwards ---

    def _descend(self, descent: Descent, found: set[int]) -> None:
        gradients: dict[Held, _Gradient] = {}
        for value in descent.values:
            gradients[value] = self._new(value)
        later = set[int]().union(*(other for each, other in self._descents if each.after > descent.after))
        again: dict[int, int] = {}
        for number in sorted(found, reverse=True):
            record = self._records[number]
            calls = next((calls for calls in self._again if number in calls), None)
            if calls is not None and number == max(found.intersection(calls)):
                again = self._repeat(calls, found)
            given = [gradients.pop(held) for held in record.gives if held in gradients]
            if given:
                self._differentiate(record, given, gradients, descent)
            for gradient in given:
                self._drop(gradient)
            self._now -= again.pop(number, 0)
            if number in later:
                continue
            for block in self._keeping.get(number, ()):
                self._keepers.get(block, set()).discard(number)
                self._release(block, descent.after)
        if not self._adds:
            self._now -= sum(self._weights.values())
            self._weights.clear()

    def _repeat(self, calls: range, found: set[int]) -> dict[int, int]:
        """Does calls again, up to the last that gradients read of: the bytes that are free once a call's are done."""
        first: dict[Block, int] = {}
        for number in sorted(found.intersection(calls), reverse=True):
            first.update((block, number) for block in self._records[number].kept if block.made >= calls.start)
        last: dict[Block, int] = {}
        for number in calls:
            record = self._records[number]
            blocks = {held.block for held in (*record.reads, *record.gives)} | set(record.made)
            last.update((block, number) for block in blocks if block.made >= calls.start)
        end = max((block.made for block in first), default=calls.start - 1)
        for number in range(calls.start, end + 1):
            for block in self._records[number].made:
                self._rise(block.kept.evaluate(self._sizes) if block in first else block.size.evaluate(self._sizes))
            self._reach(self._records[number].scratch.evaluate(self._sizes))
            for block, use in last.items():
                if use == number and block not in first and block.made <= end:
                    self._now -= block.size.evaluate(self._sizes)
        self._now -= sum(
            block.size.evaluate(self._sizes) for block in last if block not in first and block.made <= end < last[block]
        )
        free: dict[int, int] = {}
        for block, number in first.items():
            free[number] = free.get(number, 0) + block.kept.evaluate(self._sizes)
        return free

    def _differentiate(
        self, record: Record, given: list[_Gradient], gradients: dict[Held, _Gradient], descent: Descent
    ) -> None:
        if record.weights and not record.reads:  # a weight that is read as it is: its gradient is there already
            for gradient in given:
                self._now -= gradient.size
                gradient.size = 0
        self._reach(record.undone.evaluate(self._sizes))
        for path, size in _updated(record, descent):
            if path in self._weights:
                self._reach(size.evaluate(self._sizes))
            else:
                self._weights[path] = size.evaluate(self._sizes)
                self._rise(self._weights[path])
        for held in record.reads:
            if not held.needs:
                continue
            size = self._gradient_size(held)
            if record.passes and len(given) == 1 and given[0].size == size and held not in gradients:
                given[0].users += 1
                gradients[held] = given[0]
            elif held in gradients:
                self._reach(size)
            else:
                gradients[held] = self._new(held)

    def _gradient_size(self, held: Held) -> int:
        return size_of(held.type, held.width).evaluate(self._sizes)

    def _new(self, held: Held) -> _Gradient:
        gradient = _Gradient(self._gradient_size(held))
        self._rise(gradient.size)
        return gradient

    def _drop(self, gradient: _Gradient) -> None:
        gradient.users -= 1
        if gradient.users == 0:
            self._now -= gradient.size


def _updated(record: Record, descent: Descent) -> Iterator[tuple[str, Dim]]:
    """The weights of a call that a descent updates: their paths, and the bytes of their gradients."""
    for path, size in record.weights.items():
        if not descent.over or any(path == part or path.startswith(f"{part}.") for part in descent.over):
            yield path, size


def _kept(recording: Recording, found: set[int]) -> Iterator[tuple[int, Sequence[Block]]]:
    """The blocks that are kept for the gradients of a call: of calls that are done again, what they are given, for the
    first of them."""
    records = recording.records
    for number in found:
        calls = next((calls for calls in recording.again if number in calls), None)
        if calls is None:
            yield number, records[number].kept
        elif number == min(found.intersection(calls)):
            reads = {held.block: None for each in calls for held in records[each].reads}
            yield number, [block for block in reads if block.made < calls.start]


def _ancestors(records: Sequence[Record], descent: Descent) -> set[int]:
    """The numbers of the calls that gradients of these values go through."""
    wanted = set(descent.values)
    found: set[int] = set()
    for number in range(descent.after - 1, -1, -1):
        record = records[number]
        if record.needs and not wanted.isdisjoint(record.gives):
            found.add(number)
            wanted.update(held for held in record.reads if held.needs)
    return found


def _last_uses(recording: Recording) -> dict[Block, int]:
    """The number of the last call that reads a block, or makes it; beyond all where it has a name or is given out."""
    end = len(recording.records) + 1
    last: dict[Block, int] = {}
    for number, record in enumerate(recording.records):
        for held in (*record.reads, *record.gives):
            last[held.block] = max(number, last.get(held.block, 0))
            if held.name is not None:
                last[held.block] = end
    last.update((held.block, end) for held in recording.outputs)
    return last
