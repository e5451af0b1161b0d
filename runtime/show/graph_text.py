"""A checked spec's graphs as text: what `dlc compile --to graph` writes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from dlc.compiler.calls import callees_first
from dlc.compiler.graph import (
    Assign,
    BlockModule,
    Call,
    Functional,
    Gradient,
    Graph,
    ListModule,
    Loop,
    ModelRef,
    Module,
    Node,
    OpModule,
    ReadModel,
    ReadWeight,
    Value,
    WeightModule,
)
from dlc.compiler.init import Computed
from dlc.compiler.op import Op, Weight
from dlc.compiler.ops.indexing import At, Gather, NewAxis, Range, Rest
from dlc.compiler.program import DataSpec, Effect, Minimize, Program, Report, SourceCall, TrainSpec
from dlc.compiler.types import DType, Scalar


def dump(program: Program) -> str:
    """The graphs of all models, data fields and training steps, each once, before those that call it."""
    fields = [field.graph for data in program.data.values() for field in data.fields.values()]
    steps = {train.step.graph: train for train in program.trains.values()}
    roots = [*(model.graph for model in program.models.values()), *fields, *steps]
    printer = _Printer()
    sections = [
        "\n".join(printer.graph(graph, steps.get(graph))) for graph in callees_first(roots) if graph not in fields
    ]
    sections += ["\n".join(printer.data(data)) for data in program.data.values()]
    return "\n\n".join(sections) + "\n"


def dump_graph(graph: Graph) -> str:
    """One graph, and before it those that it calls."""
    printer = _Printer()
    return "\n\n".join("\n".join(printer.graph(each, None)) for each in callees_first([graph])) + "\n"


class _Printer:
    """Gives each graph a name of its own: a block's graphs for several signatures are numbered from the second on."""

    def __init__(self) -> None:
        self._titles: dict[Graph, str] = {}
        self._taken: dict[str, int] = {}

    def _title(self, graph: Graph) -> str:
        if graph not in self._titles:
            self._taken[graph.name] = count = self._taken.get(graph.name, 0) + 1
            self._titles[graph] = graph.name if count == 1 else f"{graph.name}'{count}"
        return self._titles[graph]

    def graph(self, graph: Graph, train: TrainSpec | None) -> Iterator[str]:
        """A header with the types, then what the graph owns, requires and computes."""
        names = _names(graph)
        inputs = ", ".join(f"{name}: {value.type}" for name, value in graph.inputs.items())
        results = ", ".join(
            f"{name}: {value.type}" for name, value in zip(graph.output_names, graph.outputs, strict=True)
        )
        yield f"graph {self._title(graph)}({inputs})" + (f" -> ({results})" if results else "")
        for name, module in graph.modules.items():
            yield from self._module(name, module, "own")
        for name, module in graph.borrowed.items():
            yield from self._module(name, module, "borrow")
        for check in graph.checks:
            yield f"  require {check.left} {check.relation} {check.right}, {json.dumps(check.message)}"
        effects = train.step.effects if train else ()
        for position, node in enumerate(graph.nodes):
            yield from _effects(effects, position, names)
            yield from (f"  {line}" for line in self._node(node, names))
        yield from _effects(effects, len(graph.nodes), names)
        if graph.outputs:
            yield f"  return {', '.join(names[value] for value in graph.outputs)}"

    def data(self, data: DataSpec) -> Iterator[str]:
        """The fields of a `data` block, with the graph of each."""
        yield f"data {data.name} from {static(data.source)}"
        for name, column in data.schema.columns.items():
            yield f"  column {name}: {column}"
        yield f"  split {', '.join(f'{part}={share}' for part, share in data.split.items())}"
        for field in data.fields.values():
            yield f"  field {field.name}: {field.type}"
            for statistic in field.statistics:
                yield f"    {statistic.name}_mean, {statistic.name}_std fitted to"
                for line in list(self.graph(statistic.graph, None))[1:]:
                    yield f"    {line}"
            for line in list(self.graph(field.graph, None))[1:]:
                yield f"  {line}"

    def _module(self, path: str, module: Module, verb: str) -> Iterator[str]:
        pending = [(path, module)]
        while pending:
            path, module = pending.pop()
            match module:
                case ListModule(items=items):
                    owning = [(f"{path}.{index}", item) for index, item in enumerate(items) if item is not None]
                    pending.extend(owning[::-1])
                case BlockModule(graph=graph):
                    yield f"  {verb} {path}: {self._title(graph)}"
                case OpModule(op=op, weights=weights):
                    yield f"  {verb} {path}: {_applied(op)}"
                    for name, weight in weights.items():
                        yield f"    {name}: {_weight(weight)}"
                case WeightModule(weight=weight):
                    yield f"  {verb} {path}: {_weight(weight)}"

    def _node(self, node: Node, names: Mapping[Value, str]) -> Iterator[str]:
        operands = [_operand(operand, names) for operand in node.inputs]
        match node.action:
            case Call(graph=graph) | Functional(graph=graph):
                action = f"{self._title(graph)}({', '.join(operands)})"
            case ReadWeight() | ReadModel():
                action = "weight"
            case Assign():
                action = f"assign({', '.join(operands)})"
            case Gradient():
                action = f"grad({', '.join(operands)})"
            case Op() as op:
                action = f"{op.name}({', '.join([*operands, *_statics(op)])})"
            case Loop(start=start, stop=stop, step=step, axis=axis, sequences=sequences):
                along = f" along {axis}" if sequences else ""
                action = f"loop {start}:{stop}:{step}{along}({', '.join(operands)})"
        owner = f" @ {node.module}" if node.module is not None else ""
        results = ", ".join(f"{names[value]}: {value.type}" for value in node.outputs)
        yield f"{results} = {action}{owner}" if results else f"{action}{owner}"
        if isinstance(node.action, Loop):
            yield from self._body(node.action, names)

    def _body(self, loop: Loop, names: Mapping[Value, str]) -> Iterator[str]:
        """What a turn is given, what it computes, what it hands on, and what is collected of it."""
        given = ", ".join(f"{names[value]}: {value.type}" for value in loop.body.inputs.values())
        yield f"  turn({given})"
        for node in loop.body.nodes:
            yield from (f"    {line}" for line in self._node(node, names))
        results = [names[value] for value in loop.body.outputs]
        yield f"    next {', '.join(results[: loop.carried]) or 'none'}"
        if results[loop.carried :]:
            yield f"    collect {', '.join(results[loop.carried :])}"


def static(value: Any) -> str:
    """A static value as the language writes it, as far as it can be written."""
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value, ensure_ascii=False)
        case DType():
            return value.value
        case tuple() | list():
            return f"[{', '.join(map(static, cast(Iterable[Any], value)))}]"
        case At(position=position):
            return str(position)
        case Range(start=start, stop=stop, step=step):
            bounds = f"{'' if start is None else start}:{'' if stop is None else stop}"
            return bounds if step == 1 else f"{bounds}:{step}"
        case NewAxis():
            return "none"
        case Rest():
            return "..."
        case Gather():
            return "tensor"
        case SourceCall(kind=kind, arguments=arguments, named=named):
            given = [*map(static, arguments), *(f"{name}={static(item)}" for name, item in named.items())]
            return f"{kind}({', '.join(given)})"
        case _:
            return str(value)


def _names(graph: Graph) -> dict[Value, str]:
    """A name for each value, those in loops too: the spec's, numbered where it is bound again, or a number."""
    names: dict[Value, str] = {}
    taken: dict[str, int] = {}
    pending = [*graph.inputs.values()]
    bodies: list[Iterator[Node]] = [iter(graph.nodes)]
    while bodies:
        for value in pending:
            stem = value.name or "%"
            taken[stem] = count = taken.get(stem, 0) + 1
            names[value] = f"%{count}" if stem == "%" else stem if count == 1 else f"{stem}'{count}"
        node = next(bodies[-1], None)
        if node is None:
            bodies.pop()
            pending = []
            continue
        pending = [*node.outputs]
        if isinstance(node.action, Loop):
            pending += node.action.body.inputs.values()
            bodies.append(iter(node.action.body.nodes))
    return names


def _operand(operand: Value | Scalar | ModelRef | None, names: Mapping[Value, str]) -> str:
    match operand:
        case Value():
            return names[operand]
        case ModelRef(path=path):
            return f"model {path}"
        case Scalar():
            return str(operand)
        case None:
            return "none"


def _applied(op: Op) -> str:
    return f"{op.name}({', '.join(_statics(op))})"


def _statics(op: Op) -> Iterator[str]:
    """The static parameters that differ from their defaults."""
    for parameter in op.signature().statics:
        value = getattr(op, parameter.name)
        if parameter.required or value != parameter.default:
            yield f"{parameter.name}={static(value)}"


def _weight(weight: Weight) -> str:
    shape = ", ".join(map(str, weight.shape))
    kept = "" if weight.trainable else " constant"
    if isinstance(weight.init, Computed):
        return f"{weight.dtype.value}[{shape}] = {weight.init.graph.span.text}{kept}"
    given = ", ".join(f"{name}={static(getattr(weight.init, name))}" for name in weight.init.fields())
    return f"{weight.dtype.value}[{shape}] ~ {weight.init.name or 'default'}({given}){kept}"


def _effects(effects: tuple[tuple[int, Effect], ...], position: int, names: Mapping[Value, str]) -> Iterator[str]:
    for at, effect in effects:
        if at != position:
            continue
        match effect:
            case Minimize(value=value, over=over, sign=sign):
                verb = "minimize" if sign > 0 else "maximize"
                yield f"  {verb} {names[value]}" + (f" over {', '.join(over)}" if over else "")
            case Report(name=name, value=value):
                yield f"  report {name} = {names[value]}"
