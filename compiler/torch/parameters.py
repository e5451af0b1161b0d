"""The parameters of a class's constructor: the numbers in which the signatures of a block differ, and their names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dlc.compiler.graph import Graph
from dlc.compiler.torch.draft import OWN
from dlc.compiler.torch.names import identifier, is_attribute, unused

Values = tuple[str, ...]


@dataclass(slots=True)
class Parameter:
    """A parameter of a constructor. values: for each signature. attribute: the name under which `forward` reads it."""

    name: str
    values: Values
    attribute: str = ""

    @property
    def kind(self) -> str:
        if any(OWN.search(value) for value in self.values):
            return "nn.Module"
        return "int" if all(value.isdigit() for value in self.values) else "float"


def parametrise(
    graphs: Sequence[Graph], texts: Sequence[Sequence[str]], constructor: int, slot: re.Pattern[str]
) -> tuple[list[Parameter], list[str]]:
    """The parameters, and the texts with them in place of the numbers that differ.

    graphs: one for each signature. texts: the statements of each, the first `constructor` ones of the constructor,
    the others of `forward`. slot: finds the numbers, as its first group.
    """
    first = texts[0]
    slots = [[_numbers(text, slot) for text in column] for column in zip(*texts, strict=True)]
    naming = _Naming(graphs, {name for text in first[:constructor] for name in _bound(text)})
    for place, column in enumerate(slots):
        for position, values in enumerate(zip(*column, strict=True)):
            if len(set(values)) > 1:
                naming.want(values, _keyword(first[place], slot, position))
    written: list[str] = []
    for place, column in enumerate(slots):
        replaced = [_replacement(naming, values, place >= constructor) for values in zip(*column, strict=True)]
        written.append(_replace(first[place], slot, replaced))
    return naming.parameters(), written


def _bound(text: str) -> list[str]:
    """The names that the lines of a statement bind, besides attributes."""
    targets = re.findall(r"^ *(?:for )?([^\W\d][\w, ]*?) (?:=|in) ", text, re.MULTILINE)
    return [name for target in targets for name in target.split(", ")]


def _replacement(naming: _Naming, values: Values, in_forward: bool) -> str:
    return values[0] if len(set(values)) == 1 else naming.expression(values, in_forward)


def _numbers(text: str, slot: re.Pattern[str]) -> list[str]:
    return [found.group(1) for found in slot.finditer(text) if found.group(1)]


def _replace(text: str, slot: re.Pattern[str], replaced: Sequence[str]) -> str:
    numbers: Iterator[str] = iter(replaced)
    return slot.sub(lambda found: next(numbers) if found.group(1) else found.group(), text)


def _keyword(text: str, slot: re.Pattern[str], position: int) -> str:
    """The name that an argument is given by, or else what it is an argument of."""
    found = [match for match in slot.finditer(text) if match.group(1)][position]
    before = text[: found.start()]
    named = re.search(r"(\w+)=\(?$", before)
    target = re.match(r"self\.(\w+) = ", text)
    if named or target is None:
        return named.group(1) if named else "size"
    if OWN.fullmatch(found.group(1)):
        return target.group(1)
    channels = re.search(r"nn\.(?:Linear|Conv(?:Transpose)?\dd)\((\S+ )?$", before)
    role = "size" if channels is None else "out" if channels.group(1) else "in"
    return f"{target.group(1)}_{role}"


class _Naming:
    """Chooses names for vectors of numbers, those of the block's statics where they have the same values."""

    def __init__(self, graphs: Sequence[Graph], bound: set[str]) -> None:
        self._taken = {"self", *graphs[0].modules, *bound}
        self._statics: dict[str, Values] = {}
        for name in graphs[0].statics:
            sizes = [graph.statics.get(name) for graph in graphs]
            if all(size is not None and size.is_constant for size in sizes):
                self._statics[name] = tuple(str(size) for size in sizes)
        self._parameters: dict[Values, Parameter] = {}
        self._formulas: dict[Values, tuple[str, tuple[Parameter, ...]]] = {}

    def want(self, values: Values, keyword: str) -> None:
        """Sees to it that these numbers can be expressed, by a parameter of their own if need be."""
        if values in self._parameters or values in self._formulas:
            return
        same = [name for name, known in self._statics.items() if known == values]
        if same:
            self._add(min(same, key=lambda name: name.upper() == name), values)
            return
        for name, known in self._statics.items():
            factor = _factor(values, known)
            if factor is not None:
                parameter = self._parameters.get(known) or self._add(name, known)
                self._formulas[values] = (f"{factor} * {{0}}", (parameter,))
                return
        self._add(keyword, values)

    def _add(self, name: str, values: Values) -> Parameter:
        free = unused(identifier(name.lower()), self._taken)
        self._taken.add(free)
        parameter = self._parameters[values] = Parameter(free, values)
        return parameter

    def expression(self, values: Values, in_forward: bool) -> str:
        """The numbers in terms of parameters, in the constructor or in `forward`."""
        text, parts = self._formulas[values] if values not in self._parameters else ("{0}", (self._parameters[values],))
        for parameter in parts:
            if in_forward:
                parameter.attribute = parameter.name if is_attribute(parameter.name) else f"{parameter.name}_"
        return text.format(*(f"self.{part.attribute}" if in_forward else part.name for part in parts))

    def parameters(self) -> list[Parameter]:
        """All parameters, in the order in which the class needs them."""
        return list(self._parameters.values())


def _factor(values: Values, known: Values) -> int | None:
    """The small whole number that takes the known numbers to the others."""
    if not all(number.isdigit() and int(number) for number in (*values, *known)):
        return None
    factors = {divmod(int(value), int(base)) for value, base in zip(values, known, strict=True)}
    ((factor, rest),) = factors if len(factors) == 1 else {(0, 1)}
    return factor if rest == 0 and 2 <= factor <= 8 and len(set(known)) > 1 else None
