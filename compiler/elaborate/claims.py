"""`ensure`: which values, axes and bounds a claim is about, and what is said of one that cannot be proved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dlc.compiler.dim import Dim
from dlc.compiler.elaborate import evaluation
from dlc.compiler.elaborate.frame import Frame
from dlc.compiler.elaborate.values import describe, is_sequence
from dlc.compiler.errors import BadClaim, ClaimRefused, Misplaced
from dlc.compiler.graph import Value
from dlc.compiler.types import ShapeError, resolve_axis
from dlc.grammar import ast
from dlc.grammar.diagnostics import Label, Refusal
from dlc.grammar.source import Source
from dlc.grammar.suggest import nearest

if TYPE_CHECKING:
    from dlc.compiler.flow.claims import Refuted
    from dlc.compiler.flow.way import Stage

_FORMS = {
    "causal": ("y", "x", "axis"),
    "independent": ("y", "x", "axis"),
    "local": ("y", "x", "axis", "reach"),
    "equivariant": ("y", "x", "axis"),
}


def ensure(frame: Frame, statement: ast.Ensure) -> None:
    """Proves a claim, or raises a Refusal that says on which way it fails."""
    if frame.around is not None:
        help = "claim it of what the loop gives, behind it"
        raise Refusal(Misplaced("a claim is of a whole block, and this stands in a loop", statement.span, help=help))
    tree = statement.claim
    if isinstance(tree, ast.Binary) and tree.operator == "and":
        for part in (tree.left, tree.right):
            ensure(frame, ast.Ensure(part.span, part))
        return
    if isinstance(tree, ast.Binary):
        from dlc.compiler.elaborate import budgets  # what counts costs is not loaded for other specs

        budgets.ensure(frame, tree)
        return
    kind = tree.function.id if isinstance(tree, ast.Call) and isinstance(tree.function, ast.Name) else None
    if not isinstance(tree, ast.Call) or kind not in _FORMS:
        near = nearest(kind, _FORMS) if kind else None
        there = ", ".join(f"{name}({', '.join(form)})" for name, form in _FORMS.items())
        help = f"did you mean `{near}`?" if near else f"there are {there}, parameters() < …, macs(…) < …"
        raise Refusal(BadClaim("this is no claim that can be proved", tree.span, help=help))
    arguments = _arguments(tree, kind)
    y, x = (_value(frame, arguments[name]) for name in ("y", "x"))
    _PROVERS[kind](frame, arguments, y, x)


def _arguments(tree: ast.Call, kind: str) -> dict[str, ast.Expr]:
    form = _FORMS[kind]
    found: dict[str, ast.Expr] = {}
    for place, argument in enumerate(tree.arguments):
        name = argument.name.id if argument.name else form[place] if place < len(form) else None
        if name is None or name not in form or name in found:
            message = f"`{kind}` is claimed of {', '.join(form)}"
            raise Refusal(BadClaim(message, argument.span, help=f"{kind}({', '.join(form)})"))
        found[name] = argument.value
    missing = [name for name in form if name not in found]
    if missing:
        raise Refusal(
            BadClaim(f"`{kind}` is claimed without {missing[0]}", tree.span, help=f"{kind}({', '.join(form)})")
        )
    return found


def _value(frame: Frame, tree: ast.Expr) -> Value:
    value = evaluation.evaluate(frame, tree)
    if not isinstance(value, Value):
        raise Refusal(BadClaim(f"a claim is about tensors, and this is {describe(value)}", tree.span))
    return value


# --- axes -----------------------------------------------------------------------------------------------------------


def _numbered(frame: Frame, tree: ast.Expr) -> tuple[int, int] | None:
    """Axes that are given by number, that of y and that of x: one number for both, or a list of two."""
    value = evaluation.evaluate(frame, tree)
    if is_sequence(value):
        numbers = [item.constant for item in value if isinstance(item, Dim)]
        if len(numbers) != 2 or None in numbers or len(value) != 2:
            raise Refusal(BadClaim("two axes are two numbers: that of y and that of x", tree.span))
        return int(numbers[0] or 0), int(numbers[1] or 0)
    if not isinstance(value, Dim):
        message = f"an axis is a dimension's name or a number, and this is {describe(value)}"
        raise Refusal(BadClaim(message, tree.span))
    bare = tree.operand if isinstance(tree, ast.Unary) else tree
    if isinstance(bare, ast.Literal) and value.constant is not None:
        return value.constant, value.constant
    return None


def _axis(frame: Frame, tree: ast.Expr, value: Value, place: int) -> int:
    """The axis of a value that the claim is along; `place` is 0 for y and 1 for x."""
    numbers = _numbered(frame, tree)
    if numbers is not None:
        try:
            return resolve_axis(numbers[place], value.type.rank)
        except ShapeError as error:
            raise Refusal(BadClaim(error.message, tree.span, label=f"{_called(value)} is {value.type}")) from None
    axes = _axes_of(frame, tree, value)
    if len(axes) == 1:
        return axes[0]
    size, name = evaluation.evaluate(frame, tree), tree.span.text
    if not axes:
        raise Refusal(BadClaim(f"{_called(value)} has no axis {name}", tree.span, label=f"it is {value.type}"))
    message = f"{_called(value)} has {len(axes)} axes of size {size}, and it does not show which is meant"
    help = "give the axes of y and x by number, as in [1, 1]"
    raise Refusal(BadClaim(message, tree.span, label=f"it is {value.type}", help=help))


def _axes_of(frame: Frame, tree: ast.Expr, value: Value) -> list[int]:
    """The axes of a value that a dimension's name stands for: those declared by that name, or else of that size.

    What a size is shared by when a block is checked for numbers alone is what it was when its dimensions were open.
    """
    size = evaluation.evaluate(frame, tree)
    declared = _declared(frame, tree, value)
    axes = declared or [axis for axis, own in enumerate(value.type.shape) if own == size]
    key = (tree.span.source, tree.span.start, value.span.start, value.type.rank)
    told = frame.compilation.axes
    return told.setdefault(key, axes) if len(axes) == 1 else told.get(key, axes)


def _declared(frame: Frame, tree: ast.Expr, value: Value) -> list[int]:
    """The axes of a parameter whose sizes are declared by that name."""
    parameter = next((each for each in frame.parameters if frame.graph.inputs.get(each.name.id) is value), None)
    dims = parameter.type.dims if parameter is not None and parameter.type is not None else None
    if dims is None or not isinstance(tree, ast.Name):
        return []
    at = next((place for place, dim in enumerate(dims) if isinstance(dim, ast.EllipsisLiteral)), len(dims))
    behind = value.type.rank - len(dims)
    places = [place for place, dim in enumerate(dims) if isinstance(dim, ast.Name) and dim.id == tree.id]
    return [place if place < at else place + behind for place in places]


def _called(value: Value) -> str:
    return f"`{value.name}`" if value.name else f"`{value.span.text}`"


# --- the claims -----------------------------------------------------------------------------------------------------


def _causal(frame: Frame, arguments: dict[str, ast.Expr], y: Value, x: Value) -> None:
    from dlc.compiler.flow import claims

    between = claims.Between(y, _axis(frame, arguments["axis"], y, 0), x, _axis(frame, arguments["axis"], x, 1))
    refuted = claims.causal(frame.graph, between)
    if refuted is not None:
        along = _along(arguments["axis"])
        said = f"at a position along {along} may depend on `{arguments['x'].span.text}` at later ones"
        raise Refusal(_refusal(arguments, refuted, said))


def _independent(frame: Frame, arguments: dict[str, ast.Expr], y: Value, x: Value) -> None:
    from dlc.compiler.flow import claims

    between = claims.Between(y, _axis(frame, arguments["axis"], y, 0), x, _axis(frame, arguments["axis"], x, 1))
    refuted = claims.independent(frame.graph, between)
    if refuted is not None:
        along = _along(arguments["axis"])
        said = f"at a position along {along} may depend on `{arguments['x'].span.text}` at others"
        raise Refusal(_refusal(arguments, refuted, said))


def _local(frame: Frame, arguments: dict[str, ast.Expr], y: Value, x: Value) -> None:
    from dlc.compiler.flow import claims

    reach = evaluation.evaluate(frame, arguments["reach"])
    if not isinstance(reach, Dim) or reach.less(1):
        message = f"a reach is a number of positions, from 1 up, and this is {describe(reach)}"
        raise Refusal(BadClaim(message, arguments["reach"].span))
    between = claims.Between(y, _axis(frame, arguments["axis"], y, 0), x, _axis(frame, arguments["axis"], x, 1))
    refuted = claims.local(frame.graph, between, reach)
    if refuted is not None:
        along = _along(arguments["axis"])
        said = f"may depend on `{arguments['x'].span.text}` beyond {reach} positions along {along}"
        notes: tuple[str, ...] = ()
        if refuted.reach is not None:
            before, behind = refuted.reach
            notes = (f"from {before} before to {behind} after: {before + behind + 1} positions",)
        raise Refusal(_refusal(arguments, refuted, said, notes))


def _equivariant(frame: Frame, arguments: dict[str, ast.Expr], y: Value, x: Value) -> None:
    from dlc.compiler.flow import claims
    from dlc.compiler.flow.symmetry import Pose, Way

    tree = arguments["axis"]
    numbers = _numbered(frame, tree)
    along = {x: [_axis(frame, tree, x, 1)] if numbers else _named_axes(frame, tree, x)}
    things = x.type.shape[along[x][0]]
    goals = [_axis(frame, tree, y, 0)] if numbers else _named_axes(frame, tree, y)
    if numbers is None:
        along |= {value: _axes_of(frame, tree, value) for value in frame.graph.inputs.values() if value is not x}
    given: dict[Value, Pose] = {}
    for value in {**dict.fromkeys(frame.graph.inputs.values()), x: None}:
        ways = [Way.UNIFORM if size == 1 else Way.FIXED for size in value.type.shape]
        for axis in along.get(value, ()):
            ways[axis] = Way.PERMUTED
        named = numbers is None and _names(frame, tree, value, things)
        given[value] = Pose(tuple(ways), named)
    refuted = claims.equivariant(frame.graph, things, given, y, goals)
    if refuted is not None:
        said = f"may not be permuted along {_along(tree)} as `{arguments['x'].span.text}` is"
        raise Refusal(_refusal(arguments, refuted, said))


def _named_axes(frame: Frame, tree: ast.Expr, value: Value) -> list[int]:
    axes = _axes_of(frame, tree, value)
    return axes or [_axis(frame, tree, value, 0)]


def _names(frame: Frame, tree: ast.Expr, value: Value, things: Dim) -> bool:
    """Whether the elements of an input name what is permuted: ints that are declared to be below that dimension."""
    parameter = next((each for each in frame.parameters if frame.graph.inputs.get(each.name.id) is value), None)
    if parameter is None or parameter.type is None or not isinstance(tree, ast.Name):
        return value.type.below is not None and value.type.below == things and not things.is_constant
    below = parameter.type.below
    return isinstance(below, ast.Name) and below.id == tree.id


_PROVERS: dict[str, Callable[[Frame, dict[str, ast.Expr], Value, Value], None]] = {
    "causal": _causal,
    "independent": _independent,
    "local": _local,
    "equivariant": _equivariant,
}


def _along(tree: ast.Expr) -> str:
    """An axis, as a report calls it."""
    if isinstance(tree, ast.Name):
        return tree.id
    return f"axis {tree.span.text}" if isinstance(tree, ast.Literal | ast.Unary) else f"the axes {tree.span.text}"


# --- reports --------------------------------------------------------------------------------------------------------


def _refusal(arguments: dict[str, ast.Expr], refuted: Refuted, said: str, notes: tuple[str, ...] = ()) -> ClaimRefused:
    y = arguments["y"].span.text
    when = "" if refuted.training and refuted.evaluation else ", in training" if refuted.training else ", in evaluation"
    other = "in evaluation" if refuted.training else "in training"
    held = () if refuted.training and refuted.evaluation else (f"{other} it is proved",)
    at = refuted.at
    labels: tuple[Label, ...] = ()
    help = None
    if at is not None and at.node is not None:
        away = at.node.span.source is not arguments["y"].span.source
        text = "the order is lost here" if at.broken else f"from here on: {at.text}"
        labels = tuple(Label(call.span, "by way of this") for call in at.calls[:1]) if away else ()
        labels += (Label(at.node.span, text),)
    if at is not None and not at.seen:
        help = f"`{at.name}` could not be seen through: it is taken to depend on all that it may read"
    span = arguments["y"].span.to(arguments["x"].span)
    told = (*notes, *held, "the way: " + _told(refuted.way, at, span.source))
    return ClaimRefused(f"`{y}` {said}{when}", span, labels=labels, notes=told, help=help)


def _told(stages: Sequence[Stage], at: Stage | None, source: Source) -> str:
    """The way, a line each, with places in the spec; what says the same of the same place is told once."""
    lines: list[tuple[str, str, str]] = []
    for stage in stages:
        span = stage.node.span if stage.node is not None else stage.value.span
        file = "" if span.source is source else f"{span.source.name}:"
        line = (stage.name, f"{file}{span.place}", stage.text + ("  <--" if stage is at else ""))
        if line not in lines:
            lines.append(line)
    widths = [max(len(line[part]) for line in lines) for part in (0, 1)] if lines else [0, 0]
    return "".join(f"\n{name:<{widths[0]}}  {place:<{widths[1]}}  {text}" for name, place, text in lines)
