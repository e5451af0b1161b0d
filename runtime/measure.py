"""Measuring a run by its own reports, its network computed by PyTorch or by onnxruntime from an export."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dlc.grammar.diagnostics import Refusal
from dlc.runtime.errors import NeverCalled
from dlc.runtime.infer.session import Session
from dlc.runtime.infer.standin import StandIn
from dlc.runtime.train.run import Run
from dlc.runtime.train.trainer import evaluate
from dlc.runtime.trained import choose_instance

if TYPE_CHECKING:
    import torch


def measure_run(
    run: Run,
    part: str,
    *,
    onnx: str | None = None,
    name: str | None = None,
    device: str | None = None,
    provider: str = "CPU",
) -> dict[str, float]:
    """The means of what the run's step minimises and reports over a part of its data.

    onnx: an export that computes the network in place of PyTorch. name: the instance, or its model, that it stands
    for, where there are several. provider: of onnxruntime, what computes it. Raises Refusal.
    """
    if onnx is None:
        return evaluate(run, part, device=device)
    instance = choose_instance(run, name)
    stand_in = StandIn(Session(onnx, provider=provider))

    def replace(instances: Mapping[str, torch.nn.Module]) -> None:
        stand_in.take_place(instances[instance])

    values = evaluate(run, part, device=device, prepare=replace)
    if not stand_in.calls:
        message = f"the step of {run.spec.name} never applies `{instance}` as a whole"
        raise Refusal(NeverCalled(message, run.spec.span, help="measure it in PyTorch, without --onnx"))
    return values
