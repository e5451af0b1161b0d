"""A training as two functions: one that makes the instances, and one that does a step on a batch."""

from __future__ import annotations

from collections.abc import Sequence

from dlc.compiler.graph import Operand
from dlc.compiler.program import Effect, Minimize, TrainSpec
from dlc.compiler.torch.body import Body
from dlc.compiler.torch.classes import Drafting, initialised
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.torch.loops import write_loop
from dlc.compiler.torch.merge import Merged, Merger
from dlc.compiler.torch.names import identifier
from dlc.compiler.torch.reach import Reach
from dlc.compiler.torch.rolling import rolled


def build(train: TrainSpec, drafting: Drafting, merged: Merger) -> Merged:
    """`build`, which gives the instances by name."""
    body: list[str] = []
    entries: list[str] = []
    for name, module in train.instances.items():
        made = merged.text(drafting.made(train.step.graph, name, module))
        starts = initialised(identifier(name), module)
        body += [f"{identifier(name)} = {made}", *starts] if starts else []
        entries.append(f'"{name}": {identifier(name) if starts else made}')
    body.append(f"return {{{', '.join(entries)}}}")
    return Merged("build", False, "", body=body, returns="dict[str, nn.Module]")


def step_function(train: TrainSpec, drafting: Drafting, merged: Merger) -> Merged:
    """`step`, which takes the instances, then `minimize`, then the fields of a batch, and gives the reports."""
    graph = train.step.graph
    instances = {name: identifier(name) for name in train.instances}
    inputs = {identifier(name): value for name, value in graph.inputs.items()}
    reach = Reach(graph, instances, {}, own=False)
    training = f"{next(iter(instances.values()))}.training" if instances else "True"
    reserved = [*instances.values(), "minimize"]
    kept = [effect.value for _, effect in train.step.effects]
    body = Body(
        graph, inputs, reach, drafting.call, write_loop, drafting.files, reserved=reserved, training=training, kept=kept
    )
    _write(train, body, reach)
    statements, _ = body.sizes.settle(body.statements, body.words(), body.rebound)
    parameters = [
        *(f"{name}: nn.Module" for name in instances.values()),
        "minimize: Callable[[Tensor], None]",
        *(f"{name}: Tensor" for name in inputs),
    ]
    text = [merged.text(statement) for statement in rolled(statements, body.words())]
    return Merged("step", False, train.doc, parameters=parameters, body=text, returns="dict[str, Tensor]")


def _write(train: TrainSpec, body: Body, reach: Reach) -> None:
    graph, effects = train.step.graph, train.step.effects
    last = max((place for place, (_, effect) in enumerate(effects) if isinstance(effect, Minimize)), default=-1)
    due = list(enumerate(effects))
    for place in range(len(graph.nodes) + 1):
        while due and due[0][1][0] <= place:
            number, (_, effect) = due.pop(0)
            _effect(effect, body, reach, before_update=number < last)
        if place < len(graph.nodes):
            body.run(place, graph.nodes[place])
    reports: list[Operand] = [report.value for report in train.step.reports]
    keys = [TorchContext((), (), sizes=body.sizes.write).literal(report.name) for report in train.step.reports]

    def entries(codes: Sequence[Code | None]) -> Code:
        return Code(f"{{{', '.join(f'{key}: {code}' for key, code in zip(keys, codes, strict=True))}}}")

    found = body.compose(reports, entries, nests=False)
    body.statements.append(f"return {found.text}")


def _effect(effect: Effect, body: Body, reach: Reach, *, before_update: bool) -> None:
    """A gradient step, or a report; one that precedes a gradient step is computed before the weights change."""
    if not isinstance(effect, Minimize):
        if before_update:
            body.settle(effect.value, effect.name)
        return

    def call(codes: Sequence[Code | None]) -> Code:
        loss = codes[0] or Code("")
        if effect.sign < 0:
            loss = TorchContext((), (), sizes=body.sizes.write).unary("-", loss)
        over = ", ".join(str(reach.module(path)) for path in effect.over)
        return Code(f"minimize({loss}{f', over=[{over}]' if over else ''})")

    found = body.compose([effect.value], call, nests=False)
    body.flush_all(found.text)
    body.statements.append(found.text)
