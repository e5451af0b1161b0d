"""The memory of activations as formulas of a model's open sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dlc.compiler import interval
from dlc.compiler.dim import Dim
from dlc.compiler.graph import Graph, Node
from dlc.compiler.memory.recording import Recording, TooManyCalls
from dlc.compiler.memory.records import Block, Setting
from dlc.compiler.polynomial import Atom, Polynomial

_NONE = Dim.of(0)


@dataclass(frozen=True)
class Activations:
    """Bytes of activations in fp32, without inputs and weights.

    training: what lies there when the last operation has run, for the gradients. layers: the share of it that each
    layer has made, by the nodes that lead to it. inference: the most that lies there at once, if no more is kept than
    is read again; the greatest of these formulas.
    """

    training: Dim
    layers: Mapping[tuple[Node, ...], Dim]
    inference: tuple[Dim, ...]


def activations(graph: Graph) -> Activations | None:
    """What a model's activations take; none where it calls too many operations to go through them."""
    try:
        training, inference = Recording(graph, Setting()), Recording(graph, Setting(training=False))
    except TooManyCalls:
        return None
    kept = {block: None for record in training.records for block in record.kept if block.made >= 0}
    layers: dict[tuple[Node, ...], Dim] = {}
    for block in kept:
        trail = training.records[block.made].trail
        for depth in range(1, len(trail) + 1):
            layers[trail[:depth]] = layers.get(trail[:depth], _NONE) + block.kept
    return Activations(sum((block.kept for block in kept), _NONE), layers, _peaks(inference))


def _peaks(recording: Recording) -> tuple[Dim, ...]:
    """The most that is live, at whichever call it is."""
    end = len(recording.records)
    last: dict[Block, int] = {}
    for number, record in enumerate(recording.records):
        last.update((held.block, number) for held in (*record.reads, *record.gives))
    last.update((held.block, end) for held in recording.outputs)
    leaving: dict[int, list[Block]] = {}
    for block, number in last.items():
        if block.made >= 0:
            leaving.setdefault(number, []).append(block)
    greatest = _Greatest()
    now = _NONE
    for number, record in enumerate(recording.records):
        now = sum((block.size for block in record.made), now)
        greatest.add(now + record.scratch)
        now = now - sum((block.size for block in leaving.get(number, ())), _NONE)
    return tuple(greatest.found) or (_NONE,)


class _Greatest:
    """Formulas of which none is known to be no greater than another, by their coefficients."""

    def __init__(self) -> None:
        self.found: list[Dim] = []
        self._signs: dict[Atom, bool] = {}

    def add(self, formula: Dim) -> None:
        if any(self._at_most(formula, other) for other in self.found):
            return
        self.found[:] = [other for other in self.found if not self._at_most(other, formula)]
        self.found.append(formula)

    def _at_most(self, one: Dim, other: Dim) -> bool:
        gap = (other - one).polynomial
        if gap.offset < 0 or any(coefficient < 0 for coefficient in gap.terms.values()):
            return False
        return all(self._is_natural(atom) for atom in gap.atoms())

    def _is_natural(self, atom: Atom) -> bool:
        """Whether an atom is 0 at least."""
        if atom not in self._signs:
            low, _ = interval.bounds(Polynomial.of(atom))
            self._signs[atom] = low is not None and low >= 0
        return self._signs[atom]
