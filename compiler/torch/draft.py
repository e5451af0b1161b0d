"""The source of a class while parts of it are still open: marks stand for what is settled when all classes are known.

A draft's text is Python, except for marks in Unicode's private area: the place of an item in a list of modules, the
items of a list, and the class or function of another graph.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from dlc.compiler.dim import Dim
from dlc.compiler.graph import Graph
from dlc.compiler.torch.layout import LIMIT

WIDTH = LIMIT - 8
"""What a statement of a method may take up on one line."""

ITEM = re.compile("\ue000(\\d+)/(\\d+)\ue001")
_LIST = re.compile("\ue002([^\ue002\ue003]*)\ue003")
_COMMA = "\ue004"
REFERENCE = re.compile("\ue005(\\d+)\ue006")


def item(place: int, count: int) -> str:
    """The index of an item in a list of so many modules."""
    return f"\ue000{place}/{count}\ue001"


def listing(items: list[str]) -> str:
    """The items of a list of modules."""
    return f"\ue002{_COMMA.join(items)}\ue003"


def reference(number: int) -> str:
    """The class, made, or the function of the graph whose draft has this number."""
    return f"\ue005{number}\ue006"


OWN = re.compile("\ue00b(\\d+)\ue00c")


def own_reference(number: int) -> str:
    """The same for an instance of a block that an instance of that very block owns."""
    return f"\ue00b{number}\ue00c"


def resolve(text: str, written: Callable[[int], str]) -> str:
    """The text with each reference replaced."""
    return REFERENCE.sub(lambda found: written(int(found.group(1))), text)


def resolve_own(text: str, written: Callable[[int], str]) -> str:
    """The text with each reference to an instance of the block itself replaced, however deep they nest."""
    while OWN.search(text):
        text = OWN.sub(lambda found: written(int(found.group(1))), text)
    return text


def settle(text: str) -> str:
    """The text as Python: lists whose items are alike become comprehensions, items are indexed."""
    while True:
        simpler = _LIST.sub(lambda found: _listed(found.group(1).split(_COMMA)), text)
        if simpler == text:
            return ITEM.sub(r"[\1]", text)
        text = simpler


def _listed(items: list[str]) -> str:
    if len(items) > 1 and len(set(items)) == 1:
        return f"[{items[0]} for _ in range({len(items)})]"
    return f"[{', '.join(items)}]"


@dataclass(slots=True)
class Draft:
    """A block's class, or the function of a block that owns nothing.

    constructor: the statements that make the parts. parameters: those of `forward`, without `self`, each with its
    annotation. body: the statements of `forward`. passed: the sizes that the caller passes behind the inputs.
    trains: whether a function has to be told that the network is being trained.
    """

    number: int
    graph: Graph
    is_class: bool
    constructor: list[str] = field(default_factory=list[str])
    parameters: list[str] = field(default_factory=list[str])
    body: list[str] = field(default_factory=list[str])
    returns: str = "Tensor"
    passed: list[Dim] = field(default_factory=list[Dim])
    trains: bool = False
