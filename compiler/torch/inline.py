"""Which expressions may stand within others: evaluation keeps its order, and lines stay readable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dlc.compiler.dim import Symbol
from dlc.compiler.graph import Assign, Call, Functional, Loop, Node, Value
from dlc.compiler.op import Op
from dlc.compiler.torch.context import Code
from dlc.compiler.torch.draft import ITEM

NESTING = 3  # calls within calls; one more where the whole is short
SHORT = 48
BRANCHES = 3  # operands in such number stand on lines of their own, so their width does not matter


@dataclass(slots=True)
class FileParts:
    """What the file needs besides its classes: imports, and functions that operations ask for.

    batch: what stands for the size of a batch, in each graph, of which several processes have a share.
    """

    imports: set[str] = field(default_factory=set[str])
    functions: dict[str, str] = field(default_factory=dict[str, str])
    batch: frozenset[Symbol] = frozenset()


@dataclass(eq=False, slots=True)
class Pending:
    """An expression that waits for its only user. effects: the places of the nodes in it that draw or update."""

    place: int
    value: Value
    text: Code
    effects: tuple[int, ...]
    depth: int


@dataclass(frozen=True, slots=True)
class Expression:
    """Code with all that was inlined into it."""

    text: Code
    effects: tuple[int, ...]
    depth: int


def has_effect(node: Node) -> bool:
    """Whether a node draws random numbers, updates statistics or assigns weights, so that the order of such nodes
    matters."""
    if isinstance(node.action, Assign):
        return True
    if isinstance(node.action, Op):
        return node.action.random or node.action.stateful
    inside = node.action.graph if isinstance(node.action, Call | Functional) else None
    inside = node.action.body if isinstance(node.action, Loop) else inside
    return inside is not None and any(map(has_effect, inside.nodes))


def out_of_order(awaited: Sequence[Pending], order: tuple[int, ...], others: Sequence[Pending]) -> Pending | None:
    """The first operand to be bound where the effects of an expression would not follow each other in order.

    order: the effects of the expression as Python evaluates it. others: the expressions that stay behind.
    """
    acting = sorted((pending for pending in awaited if pending.effects), key=lambda pending: pending.place)
    if not acting:
        return None
    between = any(order[0] < place < order[-1] for pending in others for place in pending.effects)
    return acting[0] if between or list(order) != sorted(order) else None


def too_much(awaited: Sequence[Pending], text: str, depth: int, target: str | None, width: int) -> Pending | None:
    """The operand to be bound where an expression becomes hard to read. width: what a statement may take up."""
    wide = next((pending for pending in awaited if len(_written(pending.text)) > width), None)
    if wide is not None or not awaited or len(awaited) >= BRANCHES:
        return wide
    length = len(_written(text))
    if depth > NESTING + (length <= SHORT):
        return max(awaited, key=lambda pending: pending.depth)
    if length + len(f"{target} = " if target else "return ") > width:
        return max(awaited, key=lambda pending: len(pending.text))
    return None


def _written(text: str) -> str:
    """The text as long as it will be."""
    return ITEM.sub(r"[\1]", text)
