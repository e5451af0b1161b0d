"""A training as functions: one makes the instances, one does a step on a batch, one sums up what many measured."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from dlc.compiler.graph import Node, Operand, Value
from dlc.compiler.measuring import Measuring
from dlc.compiler.op import Op
from dlc.compiler.program import Minimize, Report, TrainSpec
from dlc.compiler.torch.body import Body
from dlc.compiler.torch.classes import Drafting, initialised
from dlc.compiler.torch.context import Code, TorchContext, quoted
from dlc.compiler.torch.inline import FileParts
from dlc.compiler.torch.loops import write_loop
from dlc.compiler.torch.merge import Merged, Merger
from dlc.compiler.torch.names import identifier
from dlc.compiler.torch.reach import Reach
from dlc.compiler.torch.rolling import rolled
from dlc.compiler.types import Scalar


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


def step_function(train: TrainSpec, measuring: Measuring, drafting: Drafting, merged: Merger) -> Merged:
    """`step`, which takes the instances, then `minimize`, then the fields of a batch, and gives what it measures."""
    graph = train.step.graph
    instances = {name: identifier(name) for name in train.instances}
    inputs = {identifier(name): value for name, value in graph.inputs.items()}
    reach = Reach(graph, instances, {}, own=False)
    training = f"{next(iter(instances.values()))}.training" if instances else "True"
    reserved = [*instances.values(), "minimize"]
    kept = [effect.value for _, effect in train.step.effects if isinstance(effect, Minimize)]
    kept += [value for measure in measuring.measures for value in measure.reads]
    body = Body(
        graph, inputs, reach, drafting.call, write_loop, drafting.files, reserved=reserved, training=training, kept=kept
    )
    _write(train, measuring, body, reach)
    statements, _ = body.sizes.settle(body.statements, body.words(), body.rebound)
    parameters = [
        *(f"{name}: nn.Module" for name in instances.values()),
        "minimize: Callable[[Tensor], None]",
        *(f"{name}: Tensor" for name in inputs),
    ]
    text = [merged.text(statement) for statement in rolled(statements, body.words())]
    returns = "dict" if measuring.finishes else "dict[str, Tensor]"
    return Merged("step", False, train.doc, parameters=parameters, body=text, returns=returns)


def finish_function(name: str, measuring: Measuring, files: FileParts) -> Merged:
    """A function that makes the reports of many batches of what they measured."""
    entries = [f"{quoted(report.name)}: {_report(report, measuring, files)}" for report in measuring.reports]
    doc = "The reports, from the averages, the sums and the joined tensors of what the batches measured."
    body = [f"return {{{', '.join(entries)}}}"]
    return Merged(name, False, doc, parameters=["measured: dict"], body=body, returns="dict[str, Tensor]")


def _report(report: Report, measuring: Measuring, files: FileParts) -> Code:
    measures = {id(measure.value): measure for measure in measuring.of[report.name]}

    def context(node: Node) -> TorchContext:
        types = tuple(output.type for output in node.outputs)
        return TorchContext(
            node.operand_types,
            types,
            sizes=lambda size: Code(str(size)),
            imports=files.imports,
            functions=files.functions,
        )

    def write(value: Value) -> Code:
        measure = measures.get(id(value))
        if measure is not None:
            code = Code(f"measured[{quoted(measure.name)}]")
            node = measure.tallied
            return code if node is None else _op(node).score(context(node), code)
        node = measuring.node(value)
        t = context(node)
        operands = [
            write(operand) if isinstance(operand, Value) else t.literal(operand.value)
            for operand in node.inputs
            if isinstance(operand, Value | Scalar)
        ]
        return _op(node).torch(t, *operands)

    return write(report.value)


def _op(node: Node) -> Op:
    assert isinstance(node.action, Op)
    return node.action


def _write(train: TrainSpec, measuring: Measuring, body: Body, reach: Reach) -> None:
    graph, effects = train.step.graph, train.step.effects
    last = max((place for place, (_, effect) in enumerate(effects) if isinstance(effect, Minimize)), default=-1)
    due = list(enumerate(effects))
    for place in range(len(graph.nodes) + 1):
        while due and due[0][1][0] <= place:
            number, (_, effect) = due.pop(0)
            if isinstance(effect, Minimize):
                _minimize(effect, body, reach)
            elif number < last:  # what is measured before a gradient step is computed before the weights change
                for measure in measuring.of[effect.name]:
                    for value in measure.reads:
                        body.settle(value, value.name or effect.name)
        if place < len(graph.nodes):
            body.run(place, graph.nodes[place])
    operands: list[Operand] = []
    for measure in measuring.measures:
        operands += [measure.value] if measure.tallied is None else measure.tallied.inputs

    def entries(codes: Sequence[Code | None]) -> Code:
        given = iter(codes)
        parts: list[str] = []
        for measure in measuring.measures:
            node = measure.tallied
            if node is None:
                code = next(given)
            else:
                types = tuple(output.type for output in node.outputs)
                code = _op(node).tally(body.context(node.operand_types, types), *islice(given, len(node.inputs)))
            parts.append(f"{quoted(measure.name)}: {code}")
        return Code(f"{{{', '.join(parts)}}}")

    found = body.compose(operands, entries, nests=False)
    body.statements.append(f"return {found.text}")


def _minimize(effect: Minimize, body: Body, reach: Reach) -> None:
    def call(codes: Sequence[Code | None]) -> Code:
        loss = codes[0] or Code("")
        if effect.sign < 0:
            loss = TorchContext((), (), sizes=body.sizes.write).unary("-", loss)
        over = ", ".join(str(reach.module(path)) for path in effect.over)
        return Code(f"minimize({loss}{f', over=[{over}]' if over else ''})")

    found = body.compose([effect.value], call, nests=False)
    body.flush_all(found.text)
    body.statements.append(found.text)
