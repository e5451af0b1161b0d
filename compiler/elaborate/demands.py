"""What a setting asks of the step: that what it watches is measured, that what it repeats can be repeated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dlc.compiler.calls import every_node
from dlc.compiler.elaborate.frame import Frame
from dlc.compiler.errors import BadSetting
from dlc.compiler.graph import Assign
from dlc.compiler.optimizers import LBFGS
from dlc.compiler.program import DataSpec, Minimize, Step
from dlc.compiler.schedules import Plateau
from dlc.compiler.settings import Settings, StopEarly
from dlc.grammar.diagnostics import Label
from dlc.grammar.source import Span
from dlc.grammar.suggest import nearest


def check_demands(
    top: Frame, settings: Settings, spans: Mapping[str, Span], data: DataSpec, steps: Mapping[str, Step]
) -> None:
    """Reports what settings go by and is not measured, and an optimiser that the step does not suit."""
    watching = {"schedule": settings.schedule, "stop_early": settings.stop_early}
    measured = list(_measured(data, steps))
    for name, choice in watching.items():
        if isinstance(choice, Plateau | StopEarly):
            on = choice.on
            if on not in measured:
                near = nearest(on, measured)
                help = f'did you mean "{near}"?' if near else f"measured are {', '.join(measured) or 'none'}"
                top.refuse(
                    BadSetting(f'`{name}` goes by "{on}", which is not measured', spans[f"{name}.on"], help=help)
                )
    _check_search(top, settings, spans, steps["step"])


def _measured(data: DataSpec, steps: Mapping[str, Step]) -> Iterator[str]:
    """What is known after each epoch, as `valid loss`."""
    for part in ("train", "valid"):
        if part in data.split:
            step = steps["step"] if part == "train" else steps.get("evaluate", steps["step"])
            losses = [effect for _, effect in step.effects if isinstance(effect, Minimize)]
            names = ["loss"] if len(losses) == 1 else [f"loss_{number}" for number, _ in enumerate(losses, 1)]
            yield from (f"{part} {name}" for name in [*names, *(report.name for report in step.reports)])


def _check_search(top: Frame, settings: Settings, spans: Mapping[str, Span], step: Step) -> None:
    """lbfgs computes a step several times, along its gradient as it is, so that nothing else may change in it."""
    minimized = [effect for _, effect in step.effects if isinstance(effect, Minimize)]
    search = next((effect for effect in minimized if isinstance(effect.using or settings.optimizer, LBFGS)), None)
    if search is None:
        return
    assignments = [node.span for node in every_node(step.graph) if isinstance(node.action, Assign)]
    changes = [*(other.span for other in minimized if other is not search), *assignments]
    if changes:
        message = "lbfgs computes the step several times, so nothing else may be updated in it"
        top.refuse(BadSetting(message, search.span, labels=(Label(changes[0], "this is"),)))
    unsuited = {
        "clip_norm": settings.clip_norm is not None,
        "clip_value": settings.clip_value is not None,
        "accumulate": settings.accumulate > 1,
        "rates": bool(settings.rates),
        "precision": settings.precision == "fp16",
    }
    chosen = search.span if search.using is not None else spans["optimizer"]
    for name in (name for name, clashes in unsuited.items() if clashes):
        message = f"lbfgs searches along the gradient as it is, without `{name}`"
        top.refuse(BadSetting(message, spans[name], labels=(Label(chosen, "lbfgs is chosen here"),)))
