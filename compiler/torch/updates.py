"""What training does besides computing: gradients, assignments of weights, models as the vectors of their weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from dlc.compiler.differentiation import Differentiation
from dlc.compiler.graph import Graph, Node, Operand, WeightModule, find_module
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.torch.inline import Expression
from dlc.compiler.torch.layout import INDENT


class Body(Protocol):
    """The function that is being written; see `dlc.compiler.torch.body.Body`."""

    graph: Graph
    statements: list[str]
    untracked: bool

    def context(self) -> TorchContext: ...

    def module(self, path: str) -> Code: ...

    def compose(
        self, operands: Sequence[Operand], write: Callable[[Sequence[Code | None]], Code], *, nests: bool
    ) -> Expression: ...

    def flush_all(self, text: str) -> None: ...


_UNFLATTEN = '''def unflatten(model: nn.Module, vector: Tensor) -> dict[str, Tensor]:
    """The parts of a vector in the place of a model's parameters, by their names."""
    parameters = dict(model.named_parameters())
    parts = vector.split([parameter.numel() for parameter in parameters.values()])
    return {
        name: part.view_as(parameter)
        for (name, parameter), part in zip(parameters.items(), parts, strict=True)
    }'''

UNFLATTEN = "unflatten"
"""The function that makes a model's weights of a vector."""


def vector(module: Code) -> Code:
    """The weights of a model as one vector."""
    return Code(f"nn.utils.parameters_to_vector({module}.parameters())")


def functional(body: Body, module: Code, weights: Code, given: Sequence[Code]) -> Code:
    """The call of a model with the weights of a vector."""
    tensors = body.context().literal(tuple(given))
    return Code(f"torch.func.functional_call({module}, {_unflattened(body, module, weights)}, {tensors})")


def gradient(body: Body, differentiation: Differentiation, node: Node, codes: Sequence[Code | None]) -> Code:
    """`grad(loss, x)`. codes: the loss and x, the loss alone where x is a model or a weight."""
    t = body.context()
    options: dict[str, bool] = {}
    if differentiation.is_differentiated(node):
        options = {"create_graph": True}
    elif differentiation.is_passed_again(node):
        options = {"retain_graph": True}
    path = differentiation.by_weights(node)
    if path is None:
        return t.index(t.call("torch.autograd.grad", *codes, **options), "0")
    place = body.module(path)
    if isinstance(_module(body.graph, path), WeightModule):
        return t.index(t.call("torch.autograd.grad", *codes, place, **options), "0")
    # A loss need not reach all of a model.
    found = t.call("torch.autograd.grad", *codes, Code(f"{place}.parameters()"), **options, materialize_grads=True)
    return Code(f"torch.cat([part.flatten() for part in {found}])")


def assign(body: Body, node: Node) -> None:
    """`net.W := value`, which takes place in training alone."""
    assert node.module is not None
    path, place = node.module, body.module(node.module)

    def write(codes: Sequence[Code | None]) -> Code:
        value = codes[0] or Code("")
        if isinstance(_module(body.graph, path), WeightModule):
            return Code(f"{place}.copy_({value})")
        return Code(f"{place}.load_state_dict({_unflattened(body, place, value)}, strict=False)")

    found = body.compose(node.inputs, write, nests=False)
    body.flush_all(found.text)
    heads = [f"if {body.module(path.partition('.')[0])}.training:"]
    heads += [] if body.untracked else ["with torch.no_grad():"]
    opening = "\n".join(INDENT * depth + head for depth, head in enumerate(heads))
    line = INDENT * len(heads) + found.text
    if body.statements and body.statements[-1].startswith(f"{opening}\n"):
        body.statements[-1] += f"\n{line}"
    else:
        body.statements.append(f"{opening}\n{line}")


def _unflattened(body: Body, module: Code, weights: Code) -> Code:
    return body.context().call(body.context().defining(_UNFLATTEN), module, weights)


def _module(graph: Graph, path: str) -> object:
    return find_module(graph.modules | graph.borrowed, path)
