"""An operation's documentation, from its class: signature, parameters, examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from inspect import cleandoc
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from dlc.compiler.dim import Dim
from dlc.compiler.init import Init
from dlc.compiler.op import Example, Op, StaticParameter, TensorParameter
from dlc.compiler.types import DType
from dlc.runtime.show.columns import columns
from dlc.runtime.show.graph_text import static

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
        families.setdefault(family, []).append((f"  {op.name}", _text(op).split("\n\n")[0].replace("\n", " ")))
    lines = columns([row for rows in families.values() for row in rows])
    sections: list[str] = []
    for family, rows in families.items():
        sections.append("\n".join([family, *lines[: len(rows)]]))
        lines = lines[len(rows) :]
    return "\n\n".join(sections)


def page(op: type[Op]) -> str:
    """All there is to know about an operation."""
    sections = [signature(op), _text(op)]
    parameters = list(_parameters(op))
    if parameters:
        sections.append("\n".join(columns(parameters)))
    sections.append("\n".join(["for example", *(f"  {line}" for line in _examples(op))]))
    sections.extend(_remarks(op))
    return "\n\n".join(sections)


def document(op: type[Op]) -> dict[str, Any]:
    """The same for programs."""
    return {
        "name": op.name,
        "signature": signature(op),
        "documentation": _text(op),
        "parameters": [{"name": name.strip(), "kind": kind} for name, kind in _parameters(op)],
        "examples": list(_examples(op)),
        "onnx": op.no_onnx is None,
    }


def signature(op: type[Op]) -> str:
    """The operation as it is called: `conv(x, out, kernel, stride=1)`."""
    declared = op.signature()
    tensors = [_tensor(parameter) for parameter in declared.tensors]
    return f"{op.name}({', '.join([*tensors, *map(_static, declared.statics)])})"


def _text(op: type[Op]) -> str:
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


def _parameters(op: type[Op]) -> Iterator[tuple[str, str]]:
    declared = op.signature()
    for tensor in declared.tensors:
        kinds = ["a tensor"] * tensor.tensor + ["a number"] * tensor.scalar + ["a model"] * tensor.model
        yield f"  {tensor.name}", " or ".join(kinds)
    for parameter in declared.statics:
        field = op.fields()[parameter.name]
        kind = _kind(field.type)
        bounds = " and ".join(_bounds(field.metadata))
        yield f"  {parameter.name}", f"{kind} {bounds}".rstrip()


def _kind(annotation: Any) -> str:
    """What may stand for a static parameter, in the language's words."""
    arguments = get_args(annotation)
    if annotation in (None, NoneType):
        return "none"
    if get_origin(annotation) is Literal:
        return " or ".join(static(choice) for choice in arguments)
    if get_origin(annotation) is Annotated:
        return " ".join([_kind(arguments[0]), *_bounds(arguments[1:])])
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
        for nested in getattr(constraint, "metadata", ()):
            yield from _bounds((nested,))


def _examples(op: type[Op]) -> Iterator[str]:
    tensors = op.signature().tensors
    for example in op.examples:
        yield f"{_call(op, example, tensors)} gives {', '.join(map(_type, example.gives))}"


def _call(op: type[Op], example: Example, tensors: Sequence[TensorParameter]) -> str:
    names = [tensors[min(place, len(tensors) - 1)].name for place in range(len(example.inputs))] if tensors else []
    given = [
        f"{name}: {_type(words)}" if isinstance(words, str) else static(words)
        for name, words in zip(names, example.inputs, strict=True)
    ]
    given += [f"{name}={_value(value)}" for name, value in example.static.items()]
    return f"{op.name}({', '.join(given)})"


def _type(words: str) -> str:
    """An example's type as the language writes it: `"int N T < 50"` is `int[N, T] < 50`."""
    sizes, promised, below = words.partition("<")
    parts = sizes.split()
    if parts[:1] == ["model"]:
        return "model"
    dtype = parts.pop(0) if parts and parts[0] in [each.value for each in DType] else DType.FLOAT.value
    return f"{dtype}[{', '.join(parts)}]" + (f" < {below.strip()}" if promised else "")


def _remarks(op: type[Op]) -> Iterator[str]:
    if op.stateful:
        yield "In training it behaves otherwise than in evaluation."
    if op.random:
        yield "It draws at random, following the run's seed."
    if op.no_onnx is not None:
        yield f"It has no form in ONNX: {op.no_onnx}."
