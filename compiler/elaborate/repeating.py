"""A layer that is repeated with weights of its own each time: a list of instances, applied one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlc.compiler.elaborate import calls
from dlc.compiler.elaborate.frame import Frame, fix
from dlc.compiler.elaborate.values import Arg, Composition, Instance, Recipe
from dlc.compiler.graph import ListModule
from dlc.grammar.source import Span


def apply_repeated(frame: Frame, instance: Instance, layer: Composition, given: Sequence[Arg], span: Span) -> Any:
    """Applies the instances that a repeated layer stands for: those of `layers` are `layers.0`, `layers.1`, …"""
    known = instance.module.items if isinstance(instance.module, ListModule) else (None,) * len(layer.stages)
    arguments = list(given)
    items: list[Instance] = []
    instance.applied = True
    for place, (stage, module) in enumerate(zip(layer.stages, known, strict=True)):
        assert isinstance(stage, Recipe | Composition)
        path = f"{instance.path}.{place}"
        items.append(Instance(stage, path, instance.owner, instance.span, module, fixed_at=instance.fixed_at))
        arguments = [Arg(None, calls.apply(frame, items[-1], arguments, stage.span), stage.span)]
    made = ListModule(tuple(item.module for item in items))
    if instance.module is None and any(made.items):
        fix(instance, made, span)
    return arguments[0].value if len(arguments) == 1 else tuple(argument.value for argument in arguments)
