"""A training as functions: one makes the instances, others do a step on a batch, measure one, sum up what many gave."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from math import inf
from typing import Any

from dlc.compiler.differentiation import Differentiation, of_step, takes_gradients
from dlc.compiler.elaborate.reach import assigned
from dlc.compiler.graph import Graph, Node, Operand, Value
from dlc.compiler.measuring import Measuring
from dlc.compiler.op import Op
from dlc.compiler.passes import run
from dlc.compiler.program import Minimize, Procedure, Report, Step, TrainSpec
from dlc.compiler.torch.aliases import copied
from dlc.compiler.torch.body import Body
from dlc.compiler.torch.classes import Drafting, initialised
from dlc.compiler.torch.context import Code, TorchContext, quoted
from dlc.compiler.torch.inline import FileParts
from dlc.compiler.torch.loops import write_loop
from dlc.compiler.torch.merge import Merged, Merger
from dlc.compiler.torch.names import identifier
from dlc.compiler.torch.reach import Reach
from dlc.compiler.torch.rolling import rolled
from dlc.compiler.torch.updates import UNFLATTEN
from dlc.compiler.types import Scalar

AUGMENT = "augment"  # the function's name in the emitted file


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
    minimized = [effect for _, effect in train.step.effects if isinstance(effect, Minimize)]
    options = any(effect.over or effect.using for effect in minimized)
    given = [f"minimize: Callable[{'...' if options else '[Tensor]'}, None]"]
    made = _measured(train, train.step, measuring, drafting, merged, given)
    if train.data.augment is not None:
        made = replace(made, body=[_augmenting(train, train.data.augment), *made.body])
    return replace(made, name="step", doc=train.doc)


def _augmenting(train: TrainSpec, augment: Graph) -> str:
    """The statement that binds the fields of a training batch anew; what is measured stays as it is."""
    bound = ", ".join(map(identifier, augment.output_names))
    given = ", ".join(map(identifier, augment.inputs))
    return f"if {identifier(next(iter(train.instances)))}.training:\n    {bound} = {AUGMENT}({given})"


def augment_function(train: TrainSpec, augment: Graph, drafting: Drafting, merged: Merger) -> Merged:
    """`augment`, from the fields of a batch to those that are bound anew."""
    graph = run(drafting.passes, augment)
    made = _Function(replace(train, instances={}), graph, drafting, merged, Differentiation(graph))
    for place, node in enumerate(graph.nodes):
        made.body.run(place, node)
    returns = made.body.give()
    return replace(made.merged(merged, []), name=AUGMENT, returns=returns)


def evaluate_function(
    train: TrainSpec, evaluate: Step, measuring: Measuring, drafting: Drafting, merged: Merger
) -> Merged:
    """`evaluate`, which takes the instances, then the fields of a batch, and gives what it measures."""
    return replace(_measured(train, evaluate, measuring, drafting, merged, []), name="evaluate")


def procedure_function(train: TrainSpec, procedure: Procedure, drafting: Drafting, merged: Merger) -> Merged:
    """A procedure under its name, which takes the instances, then its tensor parameters, and gives its results."""
    graph = run(drafting.passes, procedure.graph)
    made = _Function(train, graph, drafting, merged, Differentiation(graph))
    for place, node in enumerate(graph.nodes):
        made.body.run(place, node)
    returns = made.body.give()
    return replace(made.merged(merged, []), name=identifier(procedure.name), doc=graph.doc, returns=returns)


class _Function:
    """A function over the instances, in the making.

    merged: what its names must not hide. kept: values that are used besides the outputs. copied: the weights that are
    copied where they are read.
    """

    def __init__(
        self,
        train: TrainSpec,
        graph: Graph,
        drafting: Drafting,
        merged: Merger,
        differentiation: Differentiation,
        *,
        kept: Sequence[Value] = (),
        copied: Collection[int] = (),
    ) -> None:
        self.instances = {name: identifier(name) for name in train.instances}
        self.inputs = {identifier(name): value for name, value in graph.inputs.items()}
        self.reach = Reach(graph, self.instances, drafting.aliases, own=False)
        self._untracked = not differentiation.losses
        self._takes_gradients = takes_gradients(graph)
        names = list(self.instances.values())
        self.body = Body(
            graph,
            self.inputs,
            self.reach,
            drafting.call,
            write_loop,
            drafting.files,
            reserved=[*names, *(unit.name for unit in merged.units), "minimize", UNFLATTEN],
            training=f"{names[0]}.training" if names else "True",
            kept=kept,
            differentiation=differentiation,
            untracked=self._untracked,
            copied=copied,
        )

    def merged(self, merger: Merger, given: Sequence[str]) -> Merged:
        """The function as it will be written; given: its parameters between the instances and the inputs."""
        body = self.body
        statements, _ = body.sizes.settle(body.statements, body.words(), body.rebound)
        parameters = [
            *(f"{name}: nn.Module" for name in self.instances.values()),
            *given,
            *(f"{name}: Tensor" for name in self.inputs),
        ]
        decorator = "torch.no_grad()" if self._untracked else "torch.enable_grad()" if self._takes_gradients else ""
        text = [merger.text(statement) for statement in rolled(statements, body.words())]
        return Merged("", False, "", parameters=parameters, body=text, decorator=decorator)


def _measured(
    train: TrainSpec, step: Step, measuring: Measuring, drafting: Drafting, merged: Merger, given: Sequence[str]
) -> Merged:
    kept = [effect.value for _, effect in step.effects if isinstance(effect, Minimize)]
    kept += [value for measure in measuring.measures for value in measure.reads]
    differentiation = of_step(step, train.instances)
    places = copied(step, train.instances)
    made = _Function(train, step.graph, drafting, merged, differentiation, kept=kept, copied=places)
    _write(step, measuring, made.body, made.reach)
    returns = "dict" if measuring.finishes else "dict[str, Tensor]"
    return replace(made.merged(merged, given), returns=returns)


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


def _write(step: Step, measuring: Measuring, body: Body, reach: Reach) -> None:
    graph, effects = step.graph, step.effects
    last = max(_changes(step), default=(-1, 0.0))
    due = list(enumerate(effects))
    for place in range(len(graph.nodes) + 1):
        while due and due[0][1][0] <= place:
            number, (position, effect) = due.pop(0)
            if isinstance(effect, Minimize):
                _minimize(effect, body, reach)
            elif (position, number) < last:  # what is measured before a change is computed before the weights change
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


def _changes(step: Step) -> Iterator[tuple[int, float]]:
    """When weights change: behind how many nodes, and behind how many effects."""
    for number, (position, effect) in enumerate(step.effects):
        if isinstance(effect, Minimize):
            yield position, number
    for place, node in enumerate(step.graph.nodes):
        if any(assigned(replace(step.graph, nodes=[node]))):
            yield place, inf


def _minimize(effect: Minimize, body: Body, reach: Reach) -> None:
    def call(codes: Sequence[Code | None]) -> Code:
        loss = codes[0] or Code("")
        if effect.sign < 0:
            loss = TorchContext((), (), sizes=body.sizes.write).unary("-", loss)
        over = [Code(f"[{', '.join(str(reach.module(path)) for path in effect.over)}]")] if effect.over else []
        named: dict[str, Any] = dict(zip(["over"], over, strict=False))
        if effect.using is not None:
            named["using"] = effect.using.text
        return body.context().call("minimize", loss, **named)

    found = body.compose([effect.value], call, nests=False)
    body.flush_all(found.text)
    body.statements.append(found.text)
