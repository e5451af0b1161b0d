"""How a function reaches what owns weights: `self.layers[3]`, `net.embed.weight`."""

from __future__ import annotations

from collections.abc import Mapping

from dlc.compiler.graph import BlockModule, Graph, ListModule, Module, WeightModule, children, weights_of
from dlc.compiler.torch.context import Code
from dlc.compiler.torch.draft import item
from dlc.compiler.torch.names import is_attribute
from dlc.compiler.types import DType


class Reach:
    """The expressions for the modules that a graph sees.

    borrowed: the names of the parameters that hold what the graph borrows. aliases: for the blocks that have classes,
    the name under which a module without weights is found, where several that are alike are one.
    """

    def __init__(
        self, graph: Graph, borrowed: Mapping[str, str], aliases: Mapping[Graph, Mapping[str, str]], *, own: bool
    ) -> None:
        self._graph = graph
        self._borrowed = borrowed
        self._aliases = aliases
        self._own = own

    def module(self, path: str) -> Code | None:
        """The expression for a module or a weight; none for a part without weights of a function, which has none."""
        first, *rest = path.split(".")
        if first in self._graph.borrowed:
            code, module = self._borrowed[first], self._graph.borrowed[first]
        elif self._own:
            first = self._found(self._graph, first)
            module = self._graph.modules[first]
            code = f"self{member(first, module)}"
        else:
            return None
        for name in rest:
            part = self._found(module.graph, name) if isinstance(module, BlockModule) else name
            inner = dict(children(module))[part]
            code += item(int(part), len(module.items)) if isinstance(module, ListModule) else member(part, inner)
            module = inner
        return Code(code)

    def _found(self, graph: Graph, name: str) -> str:
        return self._aliases.get(graph, {}).get(name, name)

    def names(self) -> list[str]:
        """The parameters that hold what is borrowed."""
        return list(self._borrowed.values())

    def within_list(self, path: str) -> bool:
        """Whether a path leads to, or through, an item of a list."""
        first, *rest = path.split(".")
        module: Module | None = self._graph.borrowed.get(first) or self._graph.modules.get(first)
        for part in rest:
            if isinstance(module, ListModule):
                return True
            module = None if module is None else dict(children(module)).get(part)
        return False

    def a_float_weight(self) -> str | None:
        """The path of a weight whose device and element type are the model's."""
        modules = (dict(self._graph.modules) if self._own else {}) | self._graph.borrowed
        return next((path for path, weight in weights_of(modules) if weight.dtype is DType.FLOAT), None)


def member(name: str, module: Module) -> str:
    """The access to a part under the name that it has in the state dict."""
    if is_attribute(name):
        return f".{name}"
    if not isinstance(module, WeightModule):
        return f'._modules["{name}"]'
    return f'._parameters["{name}"]' if module.weight.trainable else f'._buffers["{name}"]'
