"""What the command line sets: `let`s, a model's parameters and dimensions, settings. Each must be something."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dlc.compiler.dim import Dim
from dlc.compiler.elaborate.names import names_of
from dlc.compiler.elaborate.values import Arg
from dlc.compiler.errors import StaticType, UnknownOverride
from dlc.grammar import ast
from dlc.grammar.diagnostics import Diagnostic, Refusal, Sink
from dlc.grammar.parse import parse
from dlc.grammar.source import Source
from dlc.grammar.suggest import nearest


class Overrides:
    """Values by name, as they were given: `{"width": "64", "settings.optimizer.lr": "1e-4"}`."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._trees = {name: _read(name, text) for name, text in given.items()}
        self._lets: set[str] = set()

    def let(self, tree: ast.Let) -> ast.Expr:
        """The value of a `let`: the one that was set, or else its own."""
        if tree.name.id in self._trees:
            self._lets.add(tree.name.id)
            return self._trees[tree.name.id]
        return tree.value

    def parameters(self, block: ast.Block) -> dict[str, Arg]:
        """The static parameters of a model that were set."""
        statics = [p.name.id for p in block.parameters if p.type is None or p.type.dims is None]
        return {name: Arg(name, _literal(tree), tree.span) for name, tree in self._of(statics)}

    def sizes(self, block: ast.Block) -> dict[str, Dim]:
        """The dimensions of a model that were set."""
        sizes: dict[str, Dim] = {}
        for name, tree in self._of(_dimensions(block)):
            value = _literal(tree)
            if not isinstance(value, Dim) or (value.constant or 0) < 0:
                raise Refusal(StaticType(f"the dimension `{name}` is a whole number, not {tree.span.text}", tree.span))
            sizes[name] = value
        return sizes

    def procedure(self, phase: ast.Phase) -> dict[str, Arg]:
        """The static parameters of a procedure that were set, as `sample.n`."""
        prefix = f"{phase.name.id}."
        return {
            name.removeprefix(prefix): Arg(name.removeprefix(prefix), _literal(tree), tree.span)
            for name, tree in self._trees.items()
            if name.startswith(prefix)
        }

    def settings(self) -> dict[str, ast.Expr]:
        """The settings that were set, `optimizer.lr` for `--set settings.optimizer.lr=…`."""
        return {
            name.removeprefix("settings."): tree for name, tree in self._trees.items() if name.startswith("settings.")
        }

    def _of(self, names: list[str]) -> Iterator[tuple[str, ast.Expr]]:
        return ((name, tree) for name, tree in self._trees.items() if name in names and name not in self._lets)

    def check(self, file: ast.File, sink: Sink) -> None:
        """Reports what was set and is nothing in this file."""
        known: list[str] = []
        trains = False
        for item in file.items:
            match item:
                case ast.Let():
                    known.append(item.name.id)
                case ast.Block():
                    known += [parameter.name.id for parameter in item.parameters] + _dimensions(item)
                case ast.Train():
                    trains = True
                    known += _of_procedures(item)
                case _:
                    continue
        for name, tree in self._trees.items():
            if name not in known and not (trains and name.startswith("settings.")):
                sink.add(_unknown(name, tree, known))


def _of_procedures(train: ast.Train) -> Iterator[str]:
    for phase in train.items:
        if isinstance(phase, ast.Phase):
            yield from (f"{phase.name.id}.{parameter.name.id}" for parameter in phase.parameters or ())


def _unknown(name: str, tree: ast.Expr, known: list[str]) -> Diagnostic:
    near = nearest(name, known)
    help = f"did you mean `{near}`?" if near else f"there are {', '.join(dict.fromkeys(known)) or 'none'}"
    return UnknownOverride(
        f"--set {name}: the spec has no `let`, parameter or dimension `{name}`", tree.span, help=help
    )


class _Given(Source):
    """A value of the command line: read as that of a `let`, and shown as it was given."""

    def line(self, number: int) -> str:
        shown = super().line(number)
        return f"--set {self.name.removeprefix('--set ')}={shown.partition('=')[2]}" if number == 1 else shown


def _read(name: str, text: str) -> ast.Expr:
    """A value as it stands on the command line."""
    sink = Sink()
    head = "let _".ljust(len(f"--set {name}"))  # so that places in the value are those of what is shown
    file = parse(_Given(f"--set {name}", f"{head}={text}\n"), sink)
    if len(sink):
        raise Refusal(*sink)
    (item,) = file.items
    assert isinstance(item, ast.Let)
    return item.value


def _literal(tree: ast.Expr) -> object:
    match tree:
        case ast.Literal(value=bool() | float() | str() | None):
            return tree.value
        case ast.Literal(value=int() as number):
            return Dim.of(number)
        case ast.Unary(operator="-", operand=ast.Literal(value=int() | float() as number)):
            return -Dim.of(number) if isinstance(number, int) else -number
        case ast.ListExpr():
            return [_literal(item) for item in tree.items]
        case _:
            raise Refusal(
                StaticType("a value on the command line is a number, a string, true, false or a list", tree.span)
            )


def _dimensions(block: ast.Block) -> list[str]:
    """The names that may stand for sizes in a block's parameters."""
    return [name.id for parameter in block.parameters for name in names_of(parameter)]
