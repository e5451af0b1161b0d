"""One compilation: the graphs made so far, one for each block and signature, and the applications that ask for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import gcd
from typing import Any

from dlc.compiler.dim import Dim, DimOverflow, Symbol
from dlc.compiler.elaborate import binding, calls, statements
from dlc.compiler.elaborate.borrowing import Borrowing, holds_instance
from dlc.compiler.elaborate.frame import Frame, model_ref
from dlc.compiler.elaborate.loader import Loader
from dlc.compiler.elaborate.overrides import Overrides
from dlc.compiler.elaborate.parameters import Parameters, Passed
from dlc.compiler.elaborate.repeating import apply_repeated
from dlc.compiler.elaborate.results import bind_results
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.values import (
    Arg,
    BlockDef,
    Composition,
    Instance,
    Multiple,
    Part,
    Poisoned,
    Refined,
    describe,
    freeze,
)
from dlc.compiler.errors import LimitReached, NoReturn, OutOfRange, TensorExpected
from dlc.compiler.graph import BlockModule, Check, Graph, Value
from dlc.compiler.naming import singular
from dlc.compiler.types import Tensor
from dlc.grammar import ast
from dlc.grammar.diagnostics import Refusal, Sink
from dlc.grammar.source import Span

MAX_DEPTH = 60  # of blocks within blocks
MAX_NODES = 500_000  # in all graphs together
MAX_SHARE = 65_536  # that a dimension is known to be a multiple of


class Compilation:
    """What all frames share: where diagnostics go, where files come from, and the graphs that are made already."""

    def __init__(self, sink: Sink, loader: Loader, overrides: Overrides) -> None:
        self.sink = sink
        self.loader = loader
        self.overrides = overrides
        self._graphs: dict[Any, Graph | None] = {}  # none: it could not be made
        self._open: set[Any] = set()
        self._lent: dict[int, list[Instance | Part]] = {}  # by the id of a graph, what its calls lend it
        self._definitions: dict[int, tuple[BlockDef, Mapping[str, Arg]]] = {}
        self._used: set[int] = set()  # the ids of the trees
        self._wrong: set[int] = set()  # the ids of the trees of models that are wrong by themselves
        self._nodes = 0
        self.axes: dict[Any, list[int]] = {}  # of values in claims, by where they stand
        self._sizes: dict[str, Dim] | None = None  # of the model that is being made by itself

    # --- making graphs ---

    def model(self, block: BlockDef) -> Graph | None:
        """A model's graph by itself, with its dimensions open. None where it is wrong."""
        outer, self.sink = self.sink, Sink()
        shares: dict[Symbol, Dim] = {}
        checks: dict[Symbol, Check] = {}
        try:
            statics = self.overrides.parameters(block.tree)
            self._sizes = self.overrides.sizes(block.tree)
            while True:
                try:
                    graph = self._make(block, None, statics, depth=0, span=block.tree.name.span)
                    break
                except Refined as refined:
                    self.sink = Sink()
                    for fact in refined.facts:
                        self._sizes[fact.whole.name] = shares[fact.whole] = fact.size
                        first = checks.get(fact.whole, fact.check)  # its message and place
                        checks[fact.whole] = replace(fact.check, message=first.message, span=first.span)
        except Refusal as refusal:
            self.sink.extend(refusal.diagnostics)
            return None
        except DimOverflow as error:
            self.sink.add(OutOfRange(str(error), block.tree.name.span))
            return None
        finally:
            if len(self.sink):
                self._wrong.add(id(block.tree))
            outer.extend(self.sink)
            self.sink = outer
            self._sizes = None
        graph.shares.update(shares)
        graph.checks[:0] = checks.values()
        return graph

    def survey(self, block: BlockDef) -> None:
        """Reports mistakes in the names and calls of a block that nothing in the file uses.

        Its shapes cannot be judged: with every parameter open, what fits in each use may not be provable.
        """
        if id(block.tree) in self._used or not all(map(_can_be_open, block.tree.parameters)):
            return
        outer, self.sink = self.sink, Sink()
        try:
            self._make(block, None, {}, depth=0, span=block.tree.name.span)
        except Refusal as refusal:
            self.sink.extend(refusal.diagnostics)
        finally:
            outer.extend(diagnostic for diagnostic in self.sink if diagnostic.code.startswith("DL2"))
            self.sink = outer

    def refine(self, size: Dim, divisor: int, message: str, span: Span) -> None:
        """Asks to start anew knowing that `divisor` divides `size`, where that says something of a dimension."""
        if self._sizes is None:
            return
        share, factor = _linear(size)
        if share is None or not factor:
            return
        whole = share.whole or share
        total = share.share * (divisor // gcd(divisor, factor))
        if total > MAX_SHARE:
            return
        part = Dim.of_symbol(Symbol(whole.name, whole=whole, share=total))
        check = Check(Dim.of_symbol(whole) % total, "==", Dim.of(0), message, span)
        raise Refined(Multiple(whole, part * total, check))

    def _make(
        self,
        block: BlockDef,
        tensors: Mapping[str, Passed] | None,
        statics: Mapping[str, Arg],
        *,
        depth: int,
        span: Span,
    ) -> Graph:
        tree = block.tree
        if depth > MAX_DEPTH:
            message = f"`{block.name}` is expanded more than {MAX_DEPTH} blocks deep"
            raise Refusal(LimitReached(message, span, help="where a block calls itself, a static condition ends it"))
        self._used.add(id(tree))
        graph = Graph(block.name, tree.name.span, doc=tree.doc)
        frame = Frame(self, graph, Scope(block.scope), depth=depth)  # pyright: ignore[reportArgumentType]
        sizes = self._sizes or {}
        frame.parameters = tree.parameters
        for parameter in tree.parameters:
            frame.scope.announce(parameter.name.id, parameter.name.span)
        statements.announce(frame, tree.body)
        borrowing = Borrowing(frame)
        Parameters(frame, tree, tensors, borrowing.arguments(statics), sizes).bind()
        returned = statements.run(frame, tree.body)
        if returned is not None and not frame.failed:
            try:
                bind_results(frame, tree, returned.values, returned.spans, returned.span)
            except Refusal as refusal:
                frame.report(refusal)
        elif returned is None and not frame.failed:
            frame.refuse(_no_return(tree))
        graph.modules = frame.modules()
        self._lent[id(graph)] = borrowing.settle(graph, span)
        for claim in () if frame.failed else frame.claims:
            claim()
        if frame.failed:
            raise Poisoned
        self._definitions[id(graph)] = (block, statics)
        self._count(graph, span)
        return graph

    def _count(self, graph: Graph, span: Span) -> None:
        self._nodes += len(graph.nodes)
        if self._nodes > MAX_NODES:
            raise Refusal(LimitReached(f"the spec expands to more than {MAX_NODES:,} operations", span))

    def _graph(
        self, block: BlockDef, tensors: Mapping[str, Passed], statics: Mapping[str, Arg], depth: int, span: Span
    ) -> Graph:
        """The graph for one signature, made when it is first asked for."""
        if id(block.tree) in self._wrong:
            raise Poisoned  # what is wrong with it is told, and would be again in the words of these types
        key = (
            id(block),
            tuple((name, passed.type) for name, passed in tensors.items()),
            tuple(sorted((_plain_defaults(block.tree) | _frozen(statics)).items())),
        )
        if key in self._open:
            raise Refusal(
                LimitReached(
                    f"`{block.name}` calls itself without an end",
                    span,
                    label="with the same types and static values",
                    help="let a static parameter fall with each call, and end with `if depth == 0: return …`",
                )
            )
        if key not in self._graphs:
            self._graphs[key] = None
            self._open.add(key)
            try:
                self._graphs[key] = self._make(block, tensors, statics, depth=depth, span=span)
            except Refined:
                del self._graphs[key]
                raise
            finally:
                self._open.discard(key)
        graph = self._graphs[key]
        if graph is None:
            raise Poisoned
        return graph

    # --- applications ---

    def apply_block(
        self, frame: Frame, block: BlockDef, filled: binding.Filled, span: Span, instance: Instance | Part | None
    ) -> Any:
        """Calls a block's graph for what is passed in."""
        if frame.failed and any(key[0] == id(block) for key in self._open):
            raise Poisoned  # what has failed within a block would fail again in each turn of its recursion
        values: dict[str, Value] = {}
        for name, given in filled.tensors.items():
            if isinstance(given[0].value, Value):
                values[name] = given[0].value
            elif given[0].value is not None:
                raise Refusal(binding.not_a_tensor(block, name, given[0]))
        tensors = {name: Passed(value.type, filled.span(name)) for name, value in values.items()}
        statics = {name: given[0] for name, given in filled.statics.items()}
        graph = self._graph(block, tensors, statics, frame.depth + 1, span)
        inputs = [values[name] for name in graph.inputs]
        return self._call(frame, graph, inputs, block.name, span, instance)

    def _call(
        self,
        frame: Frame,
        graph: Graph,
        inputs: Sequence[Value],
        name: str,
        span: Span,
        instance: Instance | Part | None,
    ) -> Any:
        module = None
        if graph.modules:
            module = calls.module_path(frame, BlockModule(graph), name, span, instance)
        elif isinstance(instance, Instance):
            instance.applied = True
        return frame.call(graph, [*inputs, *map(model_ref, self._lent[id(graph)])], span, module)

    def apply_part(self, frame: Frame, part: Part, graph: Graph, given: Sequence[Arg], span: Span) -> Any:
        """Applies a block that is a part of an instance, with the static values that it was made with."""
        block, statics = self._definitions[id(graph)]
        own = [Arg(name, argument.value, argument.span) for name, argument in statics.items()]
        return self.apply_block(frame, block, binding.distribute(block, [*given, *own], span), span, part)

    def apply_composition(self, frame: Frame, instance: Instance, given: Sequence[Arg], span: Span) -> Any:
        """Applies a composition that has a name: a block of its own, named after it."""
        layer = instance.layer
        assert isinstance(layer, Composition)
        if layer.kind == "repeat" and not holds_instance(layer):
            return apply_repeated(frame, instance, layer, given, span)
        spread = [single for argument in given for single in binding.spread(argument)]
        values: list[Value] = []
        for argument in spread:
            if not isinstance(argument.value, Value):
                raise Refusal(
                    TensorExpected(f"a composition takes tensors, not {describe(argument.value)}", argument.span)
                )
            values.append(argument.value)
        key = (id(instance), tuple(value.type for value in values))
        if key not in self._graphs:
            self._graphs[key] = None
            self._graphs[key] = self._compose(frame, instance, layer, [value.type for value in values], span)
        graph = self._graphs[key]
        if graph is None:
            raise Poisoned
        return self._call(frame, graph, values, graph.name, span, instance)

    def _compose(
        self, frame: Frame, instance: Instance, layer: Composition, types: Sequence[Tensor], span: Span
    ) -> Graph:
        name, *places = instance.path.split(".")
        called = (singular(name) or name) if places else name
        graph = Graph("".join(word.capitalize() for word in called.split("_")), layer.span)
        inner = Frame(self, graph, Scope(frame.scope), depth=frame.depth + 1)  # pyright: ignore[reportArgumentType]
        names = ["x", "y", "z"] if len(types) <= 3 else [f"x{place}" for place in range(len(types))]
        arguments: list[Arg] = []
        for input_name, type in zip(names, types, strict=False):
            graph.inputs[input_name] = Value(type, layer.span, input_name)
            arguments.append(Arg(None, graph.inputs[input_name], span))
        borrowing = Borrowing(inner)
        result = calls.apply(inner, borrowing.view(layer, name), arguments, layer.span)
        self._lent[id(graph)] = borrowing.settle(graph, span)
        graph.outputs = result if isinstance(result, tuple) else (result,)
        graph.output_names = tuple(
            ["output"] if len(graph.outputs) == 1 else [f"output_{place + 1}" for place in range(len(graph.outputs))]
        )
        graph.modules = inner.modules()
        return graph


def _can_be_open(parameter: ast.Parameter) -> bool:
    """Whether a parameter has a value, or stands for any number, where nothing is passed."""
    if parameter.default is not None or parameter.type is None:
        return parameter.default is not None
    return parameter.type.dims is not None or parameter.type.name.id == "int"


def _frozen(statics: Mapping[str, Arg]) -> dict[str, Any]:
    return {name: freeze(argument.value) for name, argument in statics.items()}


def _plain_defaults(tree: ast.Block) -> dict[str, Any]:
    """Defaults that are literals, frozen: a call that leaves one out has the signature of one that gives it."""
    defaults: dict[str, Any] = {}
    for parameter in tree.parameters:
        if isinstance(parameter.default, ast.Literal):
            value = parameter.default.value
            if isinstance(value, int) and not isinstance(value, bool):
                defaults[parameter.name.id] = freeze(Dim.of(value))
            else:
                defaults[parameter.name.id] = freeze(value)
    return defaults


def _linear(size: Dim) -> tuple[Symbol | None, int]:
    """A size of the form `factor * symbol` as that symbol and factor."""
    symbols = size.symbols()
    if len(symbols) != 1:
        return None, 0
    (symbol,) = symbols
    factor = size.substitute({symbol: Dim.of(1)})
    if not factor.is_constant or size != Dim.of_symbol(symbol) * factor:
        return None, 0
    return symbol, int(factor)


def _no_return(tree: ast.Block) -> NoReturn:
    branch = next((statement for statement in reversed(tree.body) if isinstance(statement, ast.If)), None)
    if branch is not None and branch is tree.body[-1]:
        message = f"`{tree.name.id}` returns nothing where no condition holds"
        return NoReturn(message, branch.span, help="end it with `return …`, or add `else:`")
    return NoReturn(f"`{tree.name.id}` returns nothing", tree.name.span, help="end it with `return …`")
