"""What an operation sees while it is lowered to PyTorch: code with its precedence, sizes, its module."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any

from dlc.compiler.dim import Dim
from dlc.compiler.types import DType, Tensor


class Level(IntEnum):
    """How tightly a Python expression binds; the order and the neighbours are those of Python's grammar."""

    CONDITIONAL = 0
    OR = 1
    AND = 2
    NOT = 3
    COMPARE = 4
    BIT_OR = 5
    BIT_XOR = 6
    BIT_AND = 7
    SHIFT = 8
    SUM = 9
    PRODUCT = 10
    UNARY = 11
    POWER = 12
    ATOM = 13


_OPERATORS = {
    "+": Level.SUM,
    "-": Level.SUM,
    "*": Level.PRODUCT,
    "/": Level.PRODUCT,
    "//": Level.PRODUCT,
    "%": Level.PRODUCT,
    "@": Level.PRODUCT,
    "**": Level.POWER,
    "&": Level.BIT_AND,
    "|": Level.BIT_OR,
    "^": Level.BIT_XOR,
    "==": Level.COMPARE,
    "!=": Level.COMPARE,
    "<": Level.COMPARE,
    "<=": Level.COMPARE,
    ">": Level.COMPARE,
    ">=": Level.COMPARE,
}


class Code(str):
    """A Python expression, and how tightly it binds; a plain string counts as an atom."""

    __slots__ = ("level",)
    level: Level

    def __new__(cls, text: str, level: Level = Level.ATOM) -> Code:
        code = super().__new__(cls, text)
        code.level = level
        return code

    @staticmethod
    def within(text: str, level: int) -> str:
        """The text, in parentheses if it binds less tightly than `level`."""
        return f"({text})" if getattr(text, "level", Level.ATOM) < level else str(text)


def quoted(text: str) -> str:
    """The text as a string literal, in the quotes that Black prefers."""
    literal = json.dumps(text, ensure_ascii=False)  # Python reads what JSON escapes
    return "'" + literal[1:-1].replace('\\"', '"') + "'" if '"' in text and "'" not in text else literal


_DTYPES = {
    DType.FLOAT64: "torch.float64",
    DType.FLOAT16: "torch.float16",
    DType.BFLOAT16: "torch.bfloat16",
    DType.INT: "torch.int64",
    DType.INT32: "torch.int32",
    DType.INT8: "torch.int8",
    DType.UINT8: "torch.uint8",
    DType.BOOL: "torch.bool",
}


class TorchContext:
    """Handed to `Op.torch` and `Op.torch_module`.

    inputs, outputs: the types of the node's operands and results. `module` is the expression of the module that owns
    the node's weights; `training` says at run time whether the network is being trained. sizes: writes a Dim as an
    expression. anchors: expressions of tensors whose device, and, for a float one, whose element type new tensors
    take on.
    """

    def __init__(
        self,
        inputs: tuple[Any, ...],
        outputs: tuple[Tensor, ...],
        *,
        module: str = "",
        sizes: Callable[[Dim], Code],
        anchor: str | None = None,
        float_anchor: str | None = None,
        imports: set[str] | None = None,
        functions: dict[str, str] | None = None,
        training: str = "self.training",
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.module = Code(module)
        self.size = sizes
        self.imports: set[str] = set() if imports is None else imports
        self.functions: dict[str, str] = {} if functions is None else functions
        self.training = Code(training)
        self._anchor = anchor
        self._float_anchor = float_anchor

    def importing(self, statement: str) -> None:
        """Asks for an import besides torch, `nn` and `F`, as in `import math`."""
        self.imports.add(statement)

    def defining(self, source: str) -> str:
        """Asks for a function at the top of the file, for what takes more than one expression; gives its name.

        Such a function may use torch, `nn` and `F`. Whoever asks twice for the same one gets it once.
        """
        name = source.split("(", 1)[0].removeprefix("def ")
        self.functions[name] = source
        return name

    def literal(self, value: Any) -> Code:
        """A static value as Python writes it."""
        match value:
            case Code():
                return value
            case Dim():
                return self.size(value)
            case DType():
                return Code(self.dtype(value))
            case tuple() | list():
                return self._sequence(value)  # pyright: ignore[reportUnknownArgumentType]
            case str():
                return Code(quoted(value))
            case bool() | None:
                return Code(repr(value))
            case float() if math.isinf(value):
                return Code(f'float("{value}")')
            case int() | float():
                return Code(repr(value), Level.UNARY if value < 0 else Level.ATOM)
            case _:
                raise TypeError(f"{value!r} has no form in Python source")

    def call(self, function: str, *arguments: Any, **named: Any) -> Code:
        """`function(arguments, name=value)`; operands are code already, static values are written as literals.

        An absent optional operand (none) at the end is left out.
        """
        given = list(arguments)
        while given and given[-1] is None:
            given.pop()
        parts = [str(self._argument(argument)) for argument in given]
        parts += [f"{name}={self._argument(value)}" for name, value in named.items()]
        return Code(f"{function}({', '.join(parts)})")

    def method(self, receiver: str, name: str, *arguments: Any, **named: Any) -> Code:
        """`receiver.name(arguments)`."""
        return self.call(f"{Code.within(receiver, Level.ATOM)}.{name}", *arguments, **named)

    def attribute(self, receiver: str, name: str) -> Code:
        return Code(f"{Code.within(receiver, Level.ATOM)}.{name}")

    def index(self, receiver: str, *indices: str) -> Code:
        return Code(f"{Code.within(receiver, Level.ATOM)}[{', '.join(indices)}]")

    def binary(self, operator: str, left: str, right: str) -> Code:
        """`left operator right`, with the parentheses that Python needs and no others."""
        level = _OPERATORS[operator]
        if operator == "**":  # binds to the right, and tighter than a sign on its left
            return Code(f"{Code.within(left, Level.ATOM)} ** {Code.within(right, Level.UNARY)}", level)
        loosest = level + 1 if level is Level.COMPARE else level  # a < b < c would be a chain
        return Code(f"{Code.within(left, loosest)} {operator} {Code.within(right, level + 1)}", level)

    def unary(self, operator: str, operand: str) -> Code:
        return Code(f"{operator}{Code.within(operand, Level.UNARY)}", Level.UNARY)

    def dtype(self, dtype: DType) -> str:
        """The element type as an expression; `float` is whatever precision the model runs in."""
        if dtype is DType.FLOAT:
            return f"{self._float_anchor}.dtype" if self._float_anchor else "torch.get_default_dtype()"
        return _DTYPES[dtype]

    def factory(self, function: str, *arguments: Any, dtype: DType | None = DType.FLOAT, **named: Any) -> Code:
        """A call that makes a tensor from nothing, on the device and in the precision that the model runs in."""
        if dtype is not None and not (dtype is DType.FLOAT and self._float_anchor is None):
            named["dtype"] = Code(self.dtype(dtype))
        if self._anchor:
            named["device"] = Code(f"{self._anchor}.device")
        return self.call(function, *arguments, **named)

    def _sequence(self, values: Sequence[Any]) -> Code:
        inner = ", ".join(self.literal(value) for value in values)
        return Code(f"({inner},)" if len(values) == 1 else f"({inner})")

    def _argument(self, value: Any) -> str:
        return value if isinstance(value, Code) else self.literal(value)
