"""One block as a class: a constructor that makes its parts, and `forward`. A block that owns nothing is a function."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

from dlc.compiler.calls import callees_first, every_node
from dlc.compiler.dim import Dim
from dlc.compiler.generality import binding
from dlc.compiler.graph import (
    BlockModule,
    Call,
    Check,
    Functional,
    Graph,
    ListModule,
    Module,
    Node,
    OpModule,
    WeightModule,
    find_module,
)
from dlc.compiler.init import Computed
from dlc.compiler.op import Op, Weight
from dlc.compiler.passes import Pass, run
from dlc.compiler.torch.body import Body
from dlc.compiler.torch.context import Code, Level, TorchContext, quoted
from dlc.compiler.torch.draft import ITEM, Draft, listing, own_reference, reference
from dlc.compiler.torch.errors import TwoForms
from dlc.compiler.torch.forms import Form, forms, leads_to
from dlc.compiler.torch.inline import FileParts
from dlc.compiler.torch.loops import write_loop
from dlc.compiler.torch.merge import Merger, merge
from dlc.compiler.torch.names import identifier, unused
from dlc.compiler.torch.reach import Reach, member
from dlc.compiler.torch.rolling import rolled
from dlc.compiler.torch.updates import functional
from dlc.compiler.types import DType
from dlc.compiler.weights import OpenWeight
from dlc.grammar.diagnostics import Label, Refusal

_NEGATED = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}


class Drafting:
    """Writes drafts, callees first, so that a caller knows what its callees have to be given.

    passes: what each block goes through before its statements are written.
    """

    def __init__(self, files: FileParts, passes: tuple[Pass, ...]) -> None:
        self.files = files
        self.passes = passes
        self.drafts: dict[Form, Draft] = {}
        self.aliases: dict[Graph, dict[str, str]] = {}
        self._shared: list[tuple[Graph, Graph, Node]] = []

    def add_all(self, roots: Sequence[Form]) -> None:
        """The drafts of all that these lead to, themselves included, callees first."""
        due = forms(roots)
        for graph in callees_first([graph for graph, _ in roots], leads_to):
            for is_class in (False, True):
                if (graph, is_class) in due and (graph, is_class) not in self.drafts:
                    self.add(graph, is_class=is_class)

    def add(self, graph: Graph, *, is_class: bool) -> Draft:
        """The draft of a block whose callees all have theirs."""
        draft = Draft(len(self.drafts), graph, is_class)
        if is_class:
            self.aliases[graph] = self._construct(draft)
        draft.trains = not is_class and _asks_for_training(graph, self.drafts)
        names: list[str] = []
        for name in (*graph.inputs, *graph.borrowed):
            taken = [*names, "training"] if draft.trains else names
            names.append(unused(identifier(name), taken, "_"))
        inputs = dict(zip(names, graph.inputs.values(), strict=False))
        borrowed = dict(zip(graph.borrowed, names[len(inputs) :], strict=True))
        reach = Reach(graph, borrowed, self.aliases, own=is_class)
        choices = [False, True] if any(_listed(node, reach) for node in every_node(graph)) else [False]
        written = [self._forward(draft, inputs, reach, apart) for apart in choices]
        statements, passed = min(written, key=lambda choice: _effort("\n".join(choice[0])))
        draft.body = statements
        draft.parameters = [
            *(f"{name}: Tensor" for name in inputs),
            *(f"{name}: nn.Module" for name in borrowed.values()),
            *(f"{name}: int" for name in passed),
            *(["training: bool"] if draft.trains else []),
        ]
        draft.returns = "Tensor" if len(graph.outputs) == 1 else f"tuple[{', '.join(['Tensor'] * len(graph.outputs))}]"
        self.drafts[graph, is_class] = draft
        return draft

    def call(self, node: Node, module: Code | None, operands: Sequence[Code], body: Body) -> Code:
        """The call of a block, with the sizes that it cannot read off its inputs."""
        assert isinstance(node.action, Call | Functional)
        callee = self.drafts[node.action.graph, module is not None]
        weights = operands[-1] if isinstance(node.action, Functional) else None
        given = [*(operands if weights is None else operands[:-1])]
        given += [body.sizes.write(size) for size in callee.passed]
        if module is not None and node.module is not None:
            owner = find_module(body.graph.modules | body.graph.borrowed, node.module)
            if isinstance(owner, BlockModule) and owner.graph is not node.action.graph:
                self._shared.append((owner.graph, node.action.graph, node))
            if weights is not None:
                return functional(body, module, weights, given)
            return Code(f"{module}({', '.join(given)})")
        given += [body.training] if callee.trains else []
        return Code(f"{reference(callee.number)}({', '.join(given)})")

    def merged(self, top: str = "", taken: Iterable[str] = (), apart: Container[Graph] = ()) -> Merger:
        """The classes and functions of all drafts but those of the graphs set apart. Raises Refusal."""
        merger = merge([draft for draft in self.drafts.values() if draft.graph not in apart], top, taken)
        self.check(merger)
        return merger

    def check(self, merger: Merger) -> None:
        """Raises Refusal where one of the calls so far asks of an instance what it was not made for."""
        for made, used, node in self._shared:
            alike = merger.alike(self.drafts[made, True].number, self.drafts[used, True].number)
            if not alike and binding(made, used) is None:
                raise Refusal(_two_forms(made, node))

    # --- forward ---

    def _forward(
        self, draft: Draft, inputs: Mapping[str, object], reach: Reach, apart: bool
    ) -> tuple[list[str], list[str]]:
        graph = run(self.passes, draft.graph)
        parameters = dict(zip(inputs, graph.inputs.values(), strict=True))
        training = "self.training" if draft.is_class else "training"
        reserved = [*reach.names(), *([] if draft.is_class else ["training"])]
        body = Body(
            graph,
            parameters,
            reach,
            self.call,
            write_loop,
            self.files,
            reserved=reserved,
            training=training,
            apart=apart,
        )
        body.statements += _checks(graph.checks, body)
        for place, node in enumerate(graph.nodes):
            body.run(place, node)
        body.give()
        statements, passed = body.sizes.settle(body.statements, body.words(), body.rebound)
        draft.passed = list(body.sizes.passed)
        return rolled(statements, {*body.words(), *passed}), passed

    # --- the constructor ---

    def _construct(self, draft: Draft) -> dict[str, str]:
        """Writes the constructor's statements. Parts without weights that are alike are made once: gives the name
        under which each of the others is found."""
        aliases: dict[str, str] = {}
        made: dict[str, str] = {}
        for name, module in draft.graph.modules.items():
            if isinstance(module, OpModule) and not module.weights:
                if type(module.op).torch_module is Op.torch_module:
                    continue
                text = self.made(draft.graph, name, module)
                if text in made:
                    aliases[name] = made[text]
                    continue
                made[text] = name
            draft.constructor += self._part(draft.graph, name, module)
        return aliases

    def _part(self, graph: Graph, name: str, module: Module) -> list[str]:
        place = f"self{member(name, module)}"
        if isinstance(module, WeightModule) and isinstance(module.weight.init, Computed):
            before, value = self._value(name, module.weight.init.graph)
            return [*before, _owned(name, place, module.weight, value)]
        if isinstance(module, WeightModule):
            return _weight(name, place, module.weight)
        text = self.made(graph, name, module)
        return [f"{place} = {text}", *initialised(place, module)]

    def _value(self, path: str, graph: Graph) -> tuple[list[str], str]:
        """The value of an expression that reads no inputs, and the statements that lead to it."""
        reach = Reach(graph, {}, {}, own=False)
        body = Body(graph, {}, reach, self.call, write_loop, self.files, training="True")
        for place, node in enumerate(graph.nodes):
            body.run(place, node)
        found = body.compose(graph.outputs, lambda codes: codes[0] or Code(""), nests=False)
        for size in body.sizes.passed:
            raise OpenWeight(path, size)
        view = ".expand(" in found.text  # whose elements share their places, so that none could be assigned
        return body.statements, body.context().method(found.text, "contiguous") if view else found.text

    def made(self, graph: Graph, path: str, module: Module | None) -> str:
        """The expression that makes a part."""
        match module:
            case OpModule(op=op, inputs=inputs):
                sizes = _numbers(path)
                return op.torch_module(TorchContext(inputs, (), sizes=sizes, imports=self.files.imports), *inputs)
            case BlockModule(graph=callee):
                number = self.drafts[callee, True].number
                return own_reference(number) if callee.span == graph.span else reference(number)
            case ListModule(items=items):
                parts = [self.made(graph, f"{path}.{place}", item) for place, item in enumerate(items)]
                return f"nn.ModuleList({listing(parts)})"
            case None:
                return "nn.Identity()"
            case WeightModule():
                raise TypeError("a weight is made by a statement")


def initialised(place: str, module: Module | None) -> list[str]:
    """The statements that start the weights of a layer otherwise than its module does by itself."""
    match module:
        case OpModule(op=op):
            starts = [init.torch(f"{place}.{name}") for name, init in op.initialised().items()]
            return [line for start in starts for line in start.split("\n")]
        case ListModule(items=items):
            return [line for number, part in enumerate(items) for line in initialised(f"{place}[{number}]", part)]
        case _:
            return []


def _weight(name: str, place: str, weight: Weight) -> list[str]:
    sizes = _numbers(name)
    shape = ", ".join(sizes(size) for size in weight.shape)
    dtype = "" if weight.dtype is DType.FLOAT else f", dtype={TorchContext((), (), sizes=sizes).dtype(weight.dtype)}"
    made = f"torch.empty({shape}{dtype})" if shape else f"torch.empty((){dtype})"
    return [_owned(name, place, weight, made), *weight.init.torch(place).split("\n")]


def _owned(name: str, place: str, weight: Weight, value: str) -> str:
    return f"{place} = nn.Parameter({value})" if weight.trainable else f'self.register_buffer("{name}", {value})'


def _numbers(path: str) -> Callable[[Dim], Code]:
    """Writes sizes as numbers, which is what a constructor needs."""

    def write(size: Dim) -> Code:
        if size.constant is None:
            raise OpenWeight(path, size)
        return Code(str(size), Level.UNARY if size.constant < 0 else Level.ATOM)

    return write


def _checks(checks: Sequence[Check], body: Body) -> Iterator[str]:
    """The statements that test conditions on sizes; those that give the same reason are tested at once."""
    for message in dict.fromkeys(check.message for check in checks):
        conditions = [_violated(check, body) for check in checks if check.message == message]
        yield f"if {' or '.join(dict.fromkeys(conditions))}:\n    raise ValueError({quoted(message)})"


def _violated(check: Check, body: Body) -> str:
    left, right = body.sizes.write(check.left), body.sizes.write(check.right)
    return f"{Code.within(left, Level.SUM)} {_NEGATED[check.relation]} {Code.within(right, Level.SUM)}"


def _effort(text: str) -> int:
    """How much there is to read: lines, and items of lists that are picked one by one."""
    return text.count("\n") + len(ITEM.findall(text))


def _two_forms(made: Graph, node: Node) -> TwoForms:
    return TwoForms(
        f"`{node.module}` is one instance, and `{made.name}` is not written alike for all that it is applied to",
        node.span,
        label="this application needs other code than the first",
        labels=(Label(made.span, f"the block of `{node.module}`"),),
        help="bind one instance for each kind of input",
    )


def _listed(node: Node, reach: Reach) -> bool:
    return node.module is not None and reach.within_list(node.module)


def _asks_for_training(graph: Graph, drafts: Mapping[Form, Draft]) -> bool:
    """Whether a function behaves otherwise in training."""
    for node in every_node(graph):
        if isinstance(node.action, Op) and node.action.stateful:
            return True
        if isinstance(node.action, Call):
            callee = drafts.get((node.action.graph, False))
            if callee is not None and callee.trains:
                return True
    return False
