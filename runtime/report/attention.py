"""Where a network looks: the weights of its attention for one example of the data, as pictures."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from dlc.compiler.graph import Call, Functional, Graph, Loop, Node
from dlc.compiler.op import Op
from dlc.compiler.passes.prune import prune
from dlc.compiler.program import Procedure, TrainSpec
from dlc.runtime.procedures import Chosen, call
from dlc.runtime.train.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

Array = np.ndarray[Any, Any]

NAME = "attention"
_MOST = 12  # uses of attention that are shown
_LONGEST = 128  # positions, of which more could not be told apart


@dataclass(frozen=True)
class Look:
    """The weights of one use of attention: float[heads, T, S], rows summing to 1. path: of the module that it is in."""

    path: str
    weights: Array


def looks(run: Run, spec: TrainSpec, fields: Mapping[str, Array], device: str | None) -> list[Look]:
    """What each use of attention in a step looks at, of the first example of some fields; in a loop, in its last turn.

    fields: of the examples, each with axis 0. Empty where the step uses none. Raises Refusal.
    """
    procedure = _whole(spec)
    if procedure is None:
        return []
    chosen = Chosen(run, replace(spec, procedures={**spec.procedures, NAME: procedure}), procedure)
    watch = _Watch()
    call(chosen, {name: fields[name][:1] for name in procedure.graph.inputs}, device=device, around=watch.within)
    return list(watch.found.values())


def _whole(spec: TrainSpec) -> Procedure | None:
    """All that the step minimises and reports, where it attends to something and asks for the data's fields alone."""
    step = spec.evaluate or spec.step
    if not any(_attends(node) for node in step.graph.nodes):
        return None
    values = list(dict.fromkeys(effect.value for _, effect in step.effects))
    names = tuple(f"value_{place}" for place in range(len(values)))
    graph = prune(replace(step.graph, name=NAME, outputs=tuple(values), output_names=names))
    read = {value for node in graph.nodes for value in node.values} | set(graph.outputs)
    inputs = {name: value for name, value in graph.inputs.items() if value in read}
    if not inputs.keys() <= spec.data.fields.keys():
        return None
    return Procedure(NAME, replace(graph, inputs=inputs), step.graph.span)


def _attends(node: Node) -> bool:
    match node.action:
        case Op() as op:
            return op.name == "attention"
        case Call(graph=graph) | Functional(graph=graph):
            return _within(graph)
        case Loop(body=body):
            return _within(body)
        case _:
            return False


def _within(graph: Graph) -> bool:
    return any(_attends(node) for node in graph.nodes)


class _Watch(TorchFunctionMode):
    """Computes the weights of each attention that runs, beside what it gives."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[tuple[str, torch.Size], Look] = {}
        self._paths: list[str] = []

    @contextmanager
    def within(self, instances: Mapping[str, nn.Module]) -> Generator[None]:
        """Watches all that runs meanwhile, and knows in which module it does."""
        hooks: list[Any] = []
        for instance, module in instances.items():
            untyped: Any = module
            for path, part in untyped.named_modules(prefix=instance):
                hooks += [part.register_forward_pre_hook(self._entered(path)), part.register_forward_hook(self._left)]
        try:
            with self:
                yield
        finally:
            for hook in hooks:
                hook.remove()

    def _entered(self, path: str) -> Callable[..., None]:
        return lambda *_: self._paths.append(path)

    def _left(self, *_: object) -> None:
        self._paths.pop()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given: dict[str, Any] = kwargs or {}
        if func is functional.scaled_dot_product_attention:
            self._see(weights_of(*args, **given))
        return func(*args, **given)

    def _see(self, weights: Tensor) -> None:
        key = (self._paths[-1] if self._paths else NAME, weights.shape)
        fits = weights.dim() == 4 and max(weights.shape[2:]) <= _LONGEST
        if fits and (key in self.found or len(self.found) < _MOST):
            self.found[key] = Look(key[0], weights[0].float().cpu().numpy())


def weights_of(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """The weights of `scaled_dot_product_attention`, as its documentation defines them, without dropout."""
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
    scores = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        scores = scores.masked_fill(~torch.ones_like(scores, dtype=torch.bool).tril(), -torch.inf)
    if attn_mask is not None and attn_mask.dtype is torch.bool:
        scores = scores.masked_fill(~attn_mask, -torch.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return scores.softmax(-1).nan_to_num()
