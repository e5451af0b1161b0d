"""A block's parameters: dimensions bound to what is passed in, static values checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlc.compiler.dim import Dim
from dlc.compiler.elaborate import reports
from dlc.compiler.elaborate.dimensions import DTYPES, element_type, promise, size
from dlc.compiler.elaborate.evaluation import evaluate
from dlc.compiler.elaborate.frame import Frame
from dlc.compiler.elaborate.names import names_in
from dlc.compiler.elaborate.values import Arg, Origin, describe, is_layer, is_sequence
from dlc.compiler.errors import ArgumentType, BadDeclaration, StaticType
from dlc.compiler.graph import Value
from dlc.compiler.op import operations
from dlc.compiler.types import Tensor
from dlc.grammar import ast
from dlc.grammar.diagnostics import Diagnostic, Label, Refusal
from dlc.grammar.source import Span
from dlc.grammar.suggest import nearest

_KINDS = {"int": Dim, "float": (float, Dim), "bool": bool, "string": str, "list": list, "tuple": tuple}


@dataclass(frozen=True, slots=True)
class Passed:
    """A tensor that is passed in: its type, where, and as what."""

    type: Tensor
    span: Span | None


class Parameters:
    """Binds the parameters of one block, for one call or (with `tensors` none) for the block by itself.

    A dimension's name that is bound nowhere binds to the size that is passed in, or, for the block by itself, to a
    new symbol (or to what `sizes`, from the command line, gives for it).
    """

    def __init__(
        self,
        frame: Frame,
        tree: ast.Block,
        tensors: Mapping[str, Passed] | None,
        statics: Mapping[str, Arg],
        sizes: Mapping[str, Dim],
    ) -> None:
        self._frame = frame
        self._tree = tree
        self._tensors = tensors
        self._given = statics
        self._sizes = sizes
        self._static = {p.name.id: p for p in tree.parameters if p.type is None or p.type.dims is None}
        self._resolving: set[str] = set()

    def bind(self) -> None:
        """Binds every parameter in the frame's scope and adds the graph's inputs. Raises Refusal."""
        for parameter in self._tree.parameters:
            if parameter.name.id in self._static:
                continue
            self._bind_tensor(parameter)
        for name in self._static:
            self._bind_static(name)
        for parameter in self._tree.parameters:
            self._promise(parameter)
        for name, value in self._frame.scope.own().items():
            self._frame.graph.statics.update(_numbers(name, value))

    # --- tensors ---

    def _bind_tensor(self, parameter: ast.Parameter) -> None:
        name, tree = parameter.name.id, parameter.type
        assert tree is not None
        assert tree.dims is not None
        dtype = element_type(tree)
        if self._tensors is None:
            shape = self._sizes_of(tree.dims)
            self._input(parameter, Tensor(dtype, shape))
            return
        passed = self._tensors.get(name)
        if passed is None:
            self._frame.scope.bind(name, evaluate(self._frame, _default(parameter)), parameter.name.span)
            return
        if passed.type.dtype is not dtype:
            help = f'convert it: cast({reports.in_short(passed.span, name)}, "{dtype.value}")'
            raise Refusal(self._misfit(parameter, passed, f"its elements are {passed.type.dtype.value}", (), help))
        self._match(parameter, tree.dims, passed)
        self._input(parameter, passed.type)

    def _input(self, parameter: ast.Parameter, type: Tensor) -> None:
        name = parameter.name
        value = Value(type, name.span, name.id)
        self._frame.graph.inputs[name.id] = value
        self._frame.scope.bind(name.id, value, name.span)

    def _sizes_of(self, dims: Sequence[ast.Expr]) -> tuple[Dim, ...]:
        """The sizes of a declared type where nothing is passed in: what is open becomes a symbol."""
        shape: list[Dim] = []
        for dim in dims:
            if isinstance(dim, ast.EllipsisLiteral):
                self._frame.leading = self._frame.leading or (Dim.symbol("…"),)
                shape += self._frame.leading
                continue
            for free in self._free(dim):
                self._name_size(free, self._open(free.id))
            shape.append(self._size(dim))
        return tuple(shape)

    def _match(self, parameter: ast.Parameter, dims: Sequence[ast.Expr], passed: Passed) -> None:
        """Unifies a declared shape with the one that is passed in."""
        shape = passed.type.shape
        at = next((place for place, dim in enumerate(dims) if isinstance(dim, ast.EllipsisLiteral)), None)
        if at is not None:
            extra = len(shape) - (len(dims) - 1)
            if extra < 0:
                raise Refusal(self._misfit(parameter, passed, f"it has {reports.axes(len(shape))}", ()))
            leading = shape[at : at + extra]
            if self._frame.leading is not None and self._frame.leading != leading:
                raise Refusal(self._misfit(parameter, passed, "its leading dimensions differ", leading))
            self._frame.leading = leading
            dims, shape = [*dims[:at], *dims[at + 1 :]], (*shape[:at], *shape[at + extra :])
        if len(dims) != len(shape):
            raise Refusal(self._misfit(parameter, passed, f"it has {reports.axes(len(shape))}", ()))
        for dim, actual in zip(dims, shape, strict=True):
            self._match_size(parameter, passed, dim, actual)

    def _match_size(self, parameter: ast.Parameter, passed: Passed, dim: ast.Expr, size: Dim) -> None:
        free = self._free(dim)
        if isinstance(dim, ast.Name) and free:
            self._name_size(dim, size)
            return
        if free:
            self._solve(parameter, passed, dim, free, size)
            return
        due = self._size(dim)
        if due != size:
            label = f"{size} where {reports.told(dim, due)} is due"
            raise Refusal(self._misfit(parameter, passed, label, (size, due)))

    def _solve(
        self, parameter: ast.Parameter, passed: Passed, dim: ast.Expr, free: Sequence[ast.Name], size: Dim
    ) -> None:
        """Binds the one open name of a dimension such as `2*k`, where that has a whole solution."""
        unknown = Dim.symbol(free[0].id)
        self._name_size(free[0], unknown)
        formula = self._size(dim)
        (symbol,) = unknown.symbols()
        offset = formula.substitute({symbol: Dim.of(0)})
        slope = formula.substitute({symbol: Dim.of(1)}) - offset
        solution = (size - offset).divide(slope) if slope != 0 else None
        if len(free) > 1 or solution is None or formula.substitute({symbol: solution}) != size:
            label = f"{size} is not of the form {dim.span.text}"
            raise Refusal(self._misfit(parameter, passed, label, (size,)))
        self._name_size(free[0], solution)

    def _name_size(self, name: ast.Name, size: Dim) -> None:
        if size.origin is None:
            size = size.at(Origin(name.span, f"`{name.id}` is bound here"))
        self._frame.scope.bind(name.id, size, name.span)

    def _free(self, dim: ast.Expr) -> list[ast.Name]:
        """The names in a dimension that nothing binds yet."""
        free: list[ast.Name] = []
        for name in names_in(dim):
            if name.id in self._static:
                self._bind_static(name.id)
            elif name.id not in self._frame.scope and name.id not in {known.id for known in free}:
                free.append(name)
        return free

    def _open(self, name: str) -> Dim:
        return self._sizes[name] if name in self._sizes else Dim.symbol(name)

    def _size(self, dim: ast.Expr) -> Dim:
        return size(self._frame, dim)

    def _promise(self, parameter: ast.Parameter) -> None:
        """Gives an input the range that its type promises, and refuses what is passed in with a wider one."""
        tree, value = parameter.type, self._frame.graph.inputs.get(parameter.name.id)
        if tree is None or value is None:
            return
        given = value.type.below
        value.type = Tensor(value.type.dtype, value.type.shape, promise(self._frame, tree))
        due = value.type.below
        if due is not None and given is not None and given.at_most(due) is False:
            passed = self._tensors[parameter.name.id] if self._tensors else Passed(value.type, None)
            label = f"it promises numbers below {given}, and below {due} are due"
            raise Refusal(self._misfit(parameter, passed, label, (given, due)))
        if due is None:
            value.type = Tensor(value.type.dtype, value.type.shape, given)

    def _misfit(
        self,
        parameter: ast.Parameter,
        passed: Passed,
        label: str,
        sizes: tuple[Dim, ...],
        help: str | None = None,
    ) -> Diagnostic:
        assert parameter.type is not None
        place = passed.span or parameter.name.span
        return ArgumentType(
            f"`{parameter.name.id}` of `{self._tree.name.id}` is declared as {parameter.type.span.text}, "
            f"and this is {passed.type}",
            place,
            label=label,
            labels=(
                Label(parameter.type.span, "declared here"),
                *reports.origins(sizes, apart_from=place, outside=parameter.type.span),
            ),
            help=help,
        )

    # --- static parameters ---

    def _bind_static(self, name: str) -> None:
        if name in self._frame.scope.own():
            return
        parameter = self._static[name]
        if name in self._resolving:
            raise Refusal(BadDeclaration(f"the default of `{name}` depends on itself", parameter.span))
        self._resolving.add(name)
        given = self._given.get(name)
        if given is not None:
            value = self._checked(parameter, given.value, given.span)
        elif parameter.default is not None:
            value = evaluate(self._frame, parameter.default)
            value = self._checked(parameter, value, parameter.default.span)
        elif self._tensors is None and parameter.type is not None and parameter.type.name.id == "int":
            value = self._open(name)
        else:
            raise Refusal(_without_value(parameter))
        if isinstance(value, Dim):
            span = given.span if given else parameter.span
            text = f"`{name}` is {value} here" if value.is_constant else f"`{name}` is open here"
            value = value.at(Origin(span, text))
        self._frame.scope.bind(name, value, parameter.name.span)

    def _checked(self, parameter: ast.Parameter, value: Any, span: Span) -> Any:
        """A static value, if it is of the kind that the parameter declares or that its default has."""
        if parameter.type is None:
            return value
        kind = parameter.type.name.id
        if kind == "layer":
            if value is None or is_layer(value):
                return value
        elif kind not in _KINDS:
            known = [*_KINDS, "layer"]
            near = nearest(kind, known)
            help = f"did you mean `{near}`?" if near else f"there are {', '.join(known)}"
            if kind in DTYPES:
                help = f"a tensor's type has brackets, as in {kind}[N, d]"
            raise Refusal(BadDeclaration(f"`{kind}` is no kind of static value", parameter.type.span, help=help))
        elif _is_kind(value, kind):
            return value
        plain = kind == "layer" and isinstance(value, str) and (value in operations() or value in self._frame.scope)
        raise Refusal(
            StaticType(
                f"`{parameter.name.id}` of `{self._tree.name.id}` is {_article(kind)}, and this is {describe(value)}",
                span,
                help=f"a layer stands without quotes: {value}" if plain else None,
                labels=(Label(parameter.span, "declared here"),) if span != parameter.span else (),
            )
        )


def _numbers(name: str, value: Any) -> Iterator[tuple[str, Dim]]:
    """The static integers that a name stands for: those of a list are `b[0]`, `b[1]`, …"""
    if isinstance(value, Dim):
        yield name, value
    elif is_sequence(value):
        for place, item in enumerate(value):
            yield from _numbers(f"{name}[{place}]", item)


def _without_value(parameter: ast.Parameter) -> BadDeclaration:
    name = parameter.name.id
    if parameter.type is None:
        return BadDeclaration(
            f"`{name}` has neither a type nor a default",
            parameter.span,
            help=f"a tensor needs its type, as in {name}: float[N, d]; a static parameter a type or a default",
        )
    tensor = f"a tensor's type has brackets, as in {name}: {parameter.type.name.id}[N, d]; " * (
        parameter.type.name.id in DTYPES
    )
    return BadDeclaration(
        f"`{name}` has no value",
        parameter.span,
        label="a static parameter without a default",
        help=f"{tensor}a static one needs a default, or --set {name}=… from the command line",
    )


def _is_kind(value: object, kind: str) -> bool:
    return isinstance(value, _KINDS[kind])


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _default(parameter: ast.Parameter) -> ast.Expr:
    assert parameter.default is not None
    return parameter.default
