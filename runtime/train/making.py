"""What is trained, made from a spec: its modules and its step, as the emitted text has them."""

from __future__ import annotations

import torch
from torch import nn

from dlc.compiler.calls import callees_first, every_node
from dlc.compiler.elaborate.reach import assigned
from dlc.compiler.graph import Gradient, Graph
from dlc.compiler.passes import LOOPS, Pass
from dlc.compiler.passes.gather import gather
from dlc.compiler.program import Minimize, TrainSpec
from dlc.compiler.settings import Settings
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.data.load import Dataset
from dlc.runtime.emitted import load_module
from dlc.runtime.errors import NoDevice
from dlc.runtime.seeds import seed_torch
from dlc.runtime.train.data import with_constants
from dlc.runtime.train.task import Task
from dlc.runtime.train.team import ALONE, Team


def make_task(spec: TrainSpec, data: Dataset, device: torch.device, team: Team = ALONE) -> Task:
    """The modules and the step of a spec, from the text that `dlc compile --to torch` writes, with fresh weights.

    By the plan "plain" loops are written as they stand in the spec. team: the processes that share the batches. Raises
    Refusal where they cannot.
    """
    from dlc.compiler.torch.emit import emit_training

    _check_precision(spec.settings, device)
    graphs = [step.graph for step in (spec.step, spec.evaluate) if step is not None]
    differentiates = any(takes_gradients(graph) for graph in graphs)
    passes = _passes(spec.settings, differentiates=differentiates)
    module = load_module(spec.name, emit_training(spec, passes, shared=team.size > 1))
    seed_torch(spec.settings.seed)
    instances: dict[str, nn.Module] = {name: made.to(device) for name, made in module.build().items()}
    minimized = [effect for _, effect in spec.step.effects if isinstance(effect, Minimize)]
    own = [effect.using for effect in minimized if effect.using is not None]
    evaluate = spec.evaluate and with_constants(module.evaluate, spec.evaluate, spec.data, data)
    task = Task(
        instances,
        with_constants(module.step, spec.step, spec.data, data),
        data.parts,
        finish=getattr(module, "finish", None),
        evaluate=evaluate,
        finish_evaluate=getattr(module, "finish_evaluate", None),
        using={optimizer.text: optimizer for optimizer in own},
        differentiates=differentiates,
        keep_graph=differentiates or len(minimized) > 1,
        assigns=any(assigned(spec.step.graph)),
        precision=spec.settings.precision,
    )
    if team.size == 1:
        return task
    from dlc.runtime.train.several.sharing import sharing_of
    from dlc.runtime.train.several.taking import shared_task

    return shared_task(task, module, sharing_of(spec), team)


def _passes(settings: Settings, *, differentiates: bool) -> tuple[Pass, ...]:
    """What blocks go through before they are written. Recurrences as one operation have no gradients of gradients, and
    keep their states in one precision."""
    if settings.plan == "plain":
        return ()
    return LOOPS if differentiates or settings.precision != "fp32" else (gather, *LOOPS)


def takes_gradients(graph: Graph) -> bool:
    """Whether a graph, or one that it calls, has a `grad`."""
    return any(isinstance(node.action, Gradient) for found in callees_first([graph]) for node in every_node(found))


def _check_precision(settings: Settings, device: torch.device) -> None:
    if settings.precision == "fp16" and device.type != "cuda":
        help = "bf16 has the range of fp32 and runs on any device"
        raise Refusal(NoDevice(f'precision = "fp16" needs an NVIDIA or AMD GPU, and this is {device}', None, help=help))
