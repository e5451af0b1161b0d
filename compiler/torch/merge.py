"""Makes one class of the signatures of a block whose texts differ in numbers alone: the numbers become parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from dlc.compiler.differentiation import takes_gradients
from dlc.compiler.graph import Graph
from dlc.compiler.torch.draft import OWN, REFERENCE, Draft, resolve, resolve_own, settle
from dlc.compiler.torch.names import identifier, snake, unused
from dlc.compiler.torch.parameters import Parameter, parametrise

MANY = 4  # arguments that are clear without their names

_WORD = re.compile(r"(?<![\w.])[^\W\d]\w*")

# What may differ between two signatures of a block: a number that is not within a string, a name or a mark, and the
# instance of the block itself that an instance of it owns.
_SLOT = re.compile(
    r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|\ue000\d+/\d+\ue001|\ue005\d+\ue006|[^\W\d]\w*'
    rf"|(\d+\.?\d*(?:e[+-]?\d+)?|{OWN.pattern})"
)


@dataclass(slots=True)
class Merged:
    """A class or function as it will be written. decorator: what decorates the function, or `forward`."""

    name: str
    is_class: bool
    doc: str
    arguments: list[str] = field(default_factory=list[str])
    constructor: list[str] = field(default_factory=list[str])
    parameters: list[str] = field(default_factory=list[str])
    body: list[str] = field(default_factory=list[str])
    returns: str = "Tensor"
    decorator: str = ""


@dataclass(slots=True)
class Family:
    """The drafts that become one class; `values` are the numbers that each gives for the class's parameters."""

    number: int
    members: list[Draft]
    name: str = ""
    parameters: list[Parameter] = field(default_factory=list[Parameter])
    values: dict[int, list[str]] = field(default_factory=dict[int, list[str]])

    def made(self, draft: int) -> str:
        """The class, made for one of its members; a function's name."""
        if not self.members[0].is_class:
            return self.name
        values = self.values.get(draft, [])
        if len(values) > MANY:
            values = [f"{parameter.name}={value}" for parameter, value in zip(self.parameters, values, strict=True)]
        return f"{self.name}({', '.join(values)})"


@dataclass(slots=True)
class Merger:
    """All units of a file, in order, and how the instance of a draft is made."""

    units: list[Merged]
    families: dict[int, Family]

    def alike(self, first: int, second: int) -> bool:
        """Whether instances of two drafts are the same in all but the types that they were written for."""
        family, other = self.families[first], self.families[second]
        return family is other and family.values.get(first) == family.values.get(second)

    def text(self, statement: str) -> str:
        """A statement with references to drafts written out."""

        def written(number: int) -> str:
            return self.families[number].made(number)

        return settle(resolve_own(resolve(statement, written), written))


def function(name: str, draft: Draft, merged: Merger) -> Merged:
    """A draft's function under a name of its own."""
    body = [merged.text(statement) for statement in draft.body]
    return Merged(name, False, draft.graph.doc, parameters=draft.parameters, body=body, returns=draft.returns)


def merge(drafts: Sequence[Draft], top: str = "", taken: Iterable[str] = ()) -> Merger:
    """The classes for drafts that stand callees first.

    top: the name of the last one, which no other may bear. taken: names that none may bear.
    """
    families: dict[tuple[object, ...], Family] = {}
    of: dict[int, Family] = {}
    for draft in drafts:
        family = families.setdefault(_template(draft, of), Family(len(families), []))
        family.members.append(draft)
        of[draft.number] = family
    _name(list(families.values()), drafts, top, set(taken))
    units = [_settle(family, of) for family in families.values()]
    return Merger(units, of)


def _template(draft: Draft, of: dict[int, Family]) -> tuple[object, ...]:
    """What the drafts of one class have in common."""

    def blank(text: str) -> str:
        text = REFERENCE.sub(lambda found: f"\ue005{of[int(found.group(1))].number}\ue006", text)
        if not draft.is_class:
            return text
        return _SLOT.sub(lambda found: "\ue009" if found.group(1) else found.group(), text)

    parts = (draft.constructor, draft.parameters, draft.body)
    return (draft.graph.name, draft.graph.span, draft.is_class, *(tuple(map(blank, part)) for part in parts))


# --- names ------------------------------------------------------------------------------------------------------


def _name(families: list[Family], drafts: Sequence[Draft], top: str, taken: set[str]) -> None:
    """Names classes after their blocks; several of one block by a size that tells them apart, or else by number."""
    taken |= {word for draft in drafts for line in (*draft.body, *draft.parameters) for word in _WORD.findall(line)}
    taken |= {"nn", "F", "torch", "Tensor", top}
    for place, family in enumerate(families):
        graph = family.members[0].graph
        others = [other for other in families if other.members[0].graph.span == graph.span and other is not family]
        name = graph.name + (_distinction(family, others) if others else "")
        if top and place == len(families) - 1:
            family.name = top
        elif family.members[0].is_class:
            family.name = unused(identifier(name), taken)
        else:
            family.name = unused(snake(name), taken, "_")
        taken.add(family.name)


def _distinction(family: Family, others: Sequence[Family]) -> str:
    """The name and value of a static integer that no other class of the block shares: the smallest, as in `Depth0`."""
    found: list[tuple[int, str]] = []
    for name in sorted(family.members[0].graph.statics, key=str.isupper):
        own = {draft.graph.statics.get(name) for draft in family.members}
        theirs = {draft.graph.statics.get(name) for other in others for draft in other.members}
        value = own.pop() if len(own) == 1 else None
        if value is not None and value.constant is not None and value.constant >= 0 and value not in theirs:
            found.append((value.constant, f"{name[0].upper()}{name[1:]}{value}"))
    return min(found, key=lambda pair: pair[0])[1] if found else ""


# --- numbers ----------------------------------------------------------------------------------------------------


def _settle(family: Family, of: dict[int, Family]) -> Merged:
    first = family.members[0]
    unit = Merged(family.name, first.is_class, first.graph.doc, returns=first.returns, parameters=first.parameters)
    unit.decorator = "torch.enable_grad()" if takes_gradients(first.graph) else ""
    texts = [_texts(draft, of) for draft in family.members]
    chosen = texts[0]
    if len(texts) > 1 and first.is_class:
        graphs: list[Graph] = [draft.graph for draft in family.members]
        family.parameters, chosen = parametrise(graphs, texts, len(first.constructor), _SLOT)
        for place, draft in enumerate(family.members):
            family.values[draft.number] = [parameter.values[place] for parameter in family.parameters]
    chosen = [resolve_own(text, lambda number: of[number].made(number)) for text in chosen]
    stored = [f"self.{p.attribute} = {p.name}" for p in family.parameters if p.attribute]
    count = len(first.constructor)
    unit.arguments = [f"{parameter.name}: {parameter.kind}" for parameter in family.parameters]
    unit.constructor = [settle(text) for text in (*stored, *chosen[:count])]
    unit.body = [settle(text) for text in chosen[count:]]
    return unit


def _texts(draft: Draft, of: dict[int, Family]) -> list[str]:
    def written(number: int) -> str:
        return of[number].made(number)

    return [resolve(text, written) for text in (*draft.constructor, *draft.body)]
