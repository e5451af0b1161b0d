"""An operation's documentation, from its class: signature, parameters, weights, examples, what it lowers to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from inspect import cleandoc
from types import NoneType
from typing import Annotated, Any, Literal, cast, get_args, get_origin

from dlc.compiler.dim import Dim
from dlc.compiler.examples import read
from dlc.compiler.init import Init
from dlc.compiler.op import Example, Op, StaticParameter, TensorParameter
from dlc.compiler.types import DType, Tensor
from dlc.runtime.show.columns import columns
from dlc.runtime.show.graph_text import static
from dlc.runtime.show.lowering import onnx_operators, torch_lines

_KINDS: dict[Any, str] = {
    bool: "true or false",
    int: "int",
    Dim: "int",
    float: "float",
    str: "string",
    DType: "element type",
    Init: "distribution",
}


def index(ops: Sequence[type[Op]]) -> str:
    """A line an operation, family by family."""
    families: dict[str, list[tuple[str, str]]] = {}
    for op in ops:
        family = op.__module__.rpartition(".")[2].replace("_", " ")
        families.setdefault(family, []).append((f"  {op.name}", text(op).split("\n\n")[0].replace("\n", " ")))
    lines = columns([row for rows in families.values() for row in rows])
    sections: list[str] = []
    for family, rows in families.items():
        sections.append("\n".join([family, *lines[: len(rows)]]))
        lines = lines[len(rows) :]
    return "\n\n".join(sections)


def page(op: type[Op]) -> str:
    """All there is to know about an operation."""
    sections = [signature(op), text(op)]
    parameters = [(f"  {name}", kind) for name, kind in parameters_of(op)]
    if parameters:
        sections.append("\n".join(columns(parameters)))
    weights = [(f"  {name}", type) for name, type in weights_of(op)]
    if weights:
        sections.append("\n".join(["weights, in the first example that has them", *columns(weights)]))
    sections.append("\n".join(["for example", *(f"  {line}" for line in examples_of(op))]))
    sections.append("\n".join(["in PyTorch, the first of these", *(f"  {line}" for line in torch_of(op))]))
    sections.append(f"in ONNX\n  {onnx_of(op)}")
    sections.extend(remarks(op))
    return "\n\n".join(sections)


def document(op: type[Op]) -> dict[str, Any]:
    """The same for programs."""
    return {
        "name": op.name,
        "signature": signature(op),
        "documentation": text(op),
        "parameters": [{"name": name, "kind": kind} for name, kind in parameters_of(op)],
        "weights": dict(weights_of(op)),
        "examples": list(examples_of(op)),
        "torch": torch_of(op),
        "onnx": op.no_onnx is None,
    }


def signature(op: type[Op]) -> str:
    """The operation as it is called: `conv(x, out, kernel, stride=1)`."""
    declared = op.signature()
    tensors = [_tensor(parameter) for parameter in declared.tensors]
    taken = {parameter.name for parameter in declared.tensors}
    statics = [_static(parameter) for parameter in declared.statics if parameter.name not in taken]
    return f"{op.name}({', '.join([*tensors, *statics])})"


def text(op: type[Op]) -> str:
    """What the operation does."""
    return cleandoc(op.__doc__ or "")


def _tensor(parameter: TensorParameter) -> str:
    if parameter.variadic:
        return f"{parameter.name}..."
    return f"{parameter.name}=none" if parameter.optional else parameter.name


def _static(parameter: StaticParameter) -> str:
    if parameter.variadic:
        return f"{parameter.name}..."
    return parameter.name if parameter.required else f"{parameter.name}={_value(parameter.default)}"


def _value(value: Any) -> str:
    if isinstance(value, Init):
        given = ", ".join(f"{name}={static(getattr(value, name))}" for name in value.fields() if name in value.given)
        return f"{value.name}({given})"
    return static(value)


def parameters_of(op: type[Op]) -> Iterator[tuple[str, str]]:
    """Each parameter, and what may stand there."""
    declared = op.signature()
    static = {parameter.name: _kind(op.fields()[parameter.name].annotation) for parameter in declared.statics}
    for tensor in declared.tensors:
        kinds = ["a tensor"] * tensor.tensor + ["a number"] * tensor.scalar + ["a model"] * tensor.model
        if tensor.name in static:  # given as a tensor, or as a number that is known when the spec is compiled
            kinds.append(static.pop(tensor.name).removesuffix(" or none"))
        many = ", any number of them" if tensor.variadic else ""
        yield tensor.name, " or ".join(kinds) + (", or nothing" if tensor.optional else many)
    yield from static.items()


def _kind(annotation: Any) -> str:
    """What may stand for a static parameter, in the language's words."""
    arguments = get_args(annotation)
    if annotation in (None, NoneType):
        return "none"
    if get_origin(annotation) is Literal:
        return " or ".join(static(choice) for choice in arguments)
    if get_origin(annotation) is Annotated:
        described = [part.description for part in arguments[1:] if getattr(part, "description", None)]
        if described:
            return described[0]
        return f"{_kind(arguments[0])} {' and '.join(_bounds(arguments[1:]))}".rstrip()
    if get_origin(annotation) is tuple:
        return "list"
    if arguments:
        return " or ".join(dict.fromkeys(map(_kind, arguments)))
    return _KINDS.get(annotation, "value")


def _bounds(metadata: Sequence[Any]) -> Iterator[str]:
    for constraint in metadata:
        for name, sign in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<=")):
            bound = getattr(constraint, name, None)
            if bound is not None:
                yield f"{sign} {bound}"


def weights_of(op: type[Op]) -> Iterator[tuple[str, str]]:
    """The weights of the first example that has some, with their types."""
    for example in op.examples:
        call = read(op, example)
        inputs: tuple[Any, ...] = call.inputs
        found = call.op.weights(*inputs)
        for name, weight in found.items():
            constant = "" if weight.trainable else ", not learned"
            yield name, f"{Tensor(weight.dtype, weight.shape)}{constant}"
        if found:
            return


def torch_of(op: type[Op]) -> list[str]:
    """The first example in PyTorch."""
    return torch_lines(read(op, op.examples[0]))


def onnx_of(op: type[Op]) -> str:
    """The ONNX operators of the first example, or why there are none."""
    if op.no_onnx is not None:
        return f"It cannot be exported: {op.no_onnx}."
    return " ".join(onnx_operators(read(op, op.examples[0]))) or "nothing: what it gives is its input"


def examples_of(op: type[Op]) -> Iterator[str]:
    """Calls with the types of their tensors, and the types that they give."""
    tensors = op.signature().tensors
    for example in op.examples:
        yield f"{_call(op, example, tensors)} gives {', '.join(map(_type, example.gives))}"


def _call(op: type[Op], example: Example, tensors: Sequence[TensorParameter]) -> str:
    names = [tensors[min(place, len(tensors) - 1)].name for place in range(len(example.inputs))] if tensors else []
    given = [
        f"{name}: {_type(words)}" if isinstance(words, str) else static(words)
        for name, words in zip(names, example.inputs, strict=True)
    ]
    for name, value in example.static.items():
        if name == op.variadic:
            given += map(_given, value)
        else:
            given.append(f"{name}={_given(value)}")
    return f"{op.name}({', '.join(given)})"


def _given(value: Any) -> str:
    """A static value of an example. A string in capitals stands for a size."""
    match value:
        case str() if not value.islower():
            return value
        case list() | tuple():
            return f"[{', '.join(map(_given, cast('tuple[Any, ...]', value)))}]"
        case _:
            return _value(value)


def _type(words: str) -> str:
    """An example's type as the language writes it: `"int N T < 50"` is `int[N, T] < 50`."""
    sizes, promised, below = words.partition("<")
    parts = sizes.split()
    if parts[:1] == ["model"]:
        return "model"
    dtype = parts.pop(0) if parts and parts[0] in [each.value for each in DType] else DType.FLOAT.value
    return f"{dtype}[{', '.join(parts)}]" + (f" < {below.strip()}" if promised else "")


def remarks(op: type[Op]) -> Iterator[str]:
    """What else there is to know."""
    if op.stateful:
        yield "In training it behaves otherwise than in evaluation."
    if op.random:
        yield "It draws at random, following the run's seed."
    if op.splits is not Op.splits:
        yield "A report of it over many batches is computed from all of them, not averaged."
