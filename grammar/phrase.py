"""What an expression, a type or a list of parameters looks like: pieces of text, with the comments within."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from dlc.grammar import ast
from dlc.grammar.ast import Expr
from dlc.grammar.page import NOTHING, WIDTH, Bracket, Chain, Link, Notes, Piece, Run
from dlc.grammar.source import Source

T = TypeVar("T", bound=ast.Node)

# How tightly the rules of dl.lark bind, from the loosest.
ANY, PIPE, OR, AND, NOT, COMPARISON, SUM, PRODUCT, SIGNED, POWER, POSTFIX, ATOM = range(12)

_BINARY = {
    "or": (OR, OR, AND),
    "and": (AND, AND, NOT),
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), (COMPARISON, SUM, SUM)),
    **dict.fromkeys(("+", "-"), (SUM, SUM, PRODUCT)),
    **dict.fromkeys(("*", "/", "//", "%", "@"), (PRODUCT, PRODUCT, SIGNED)),
    "**": (POWER, POSTFIX, SIGNED),
}
"""Of each operator how tightly it binds, and how tightly its sides have to."""

_CLOSE = {"*", "/", "//", "**"}
_CLOSING = re.compile(r"(?:[\s,(]|#[^\n]*)*\)")


class Comments:
    """The comments of a file, each taken once, in their order."""

    def __init__(self, comments: Sequence[ast.Comment]) -> None:
        self._left = list(reversed(comments))
        self.ends = {comment.span.end: comment.span.start for comment in comments}

    def next(self, before: int) -> ast.Comment | None:
        """The next comment, left where it is; none if it does not start before a place."""
        return self._left[-1] if self._left and self._left[-1].span.start < before else None

    def take(self) -> ast.Comment:
        return self._left.pop()

    def notes(self, before: int) -> Notes:
        """All comments before a place."""
        behind, above = "", list[str]()
        while comment := self.next(before):
            if not comment.own_line and not behind and not above:
                behind = comment.text
            else:
                above.append(comment.text)
            self.take()
        return Notes(behind, tuple(above))


class Phrases:
    """Makes the pieces, in the order of the text, so that each comment is met at its place."""

    def __init__(self, source: Source, comments: Comments) -> None:
        self._text = source.text
        self._comments = comments

    def expression(self, expr: Expr) -> Piece:
        match expr:
            case ast.Name() | ast.Literal() | ast.EllipsisLiteral():
                return expr.span.text
            case ast.Pipe():
                return self._pipe(expr)
            case ast.Binary():
                return self._binary(expr)
            case ast.Unary(_, operator, operand):
                needed = SIGNED if operator == "-" else NOT
                return _run(operator if operator == "-" else "not ", self._operand(operand, needed))
            case ast.Conditional():
                return self._conditional(expr)
            case ast.Call(_, function, arguments):
                called = self._operand(function, POSTFIX)
                return _run(called, self._bracket("(", arguments, ")", expr.span.end, self._argument))
            case ast.Index(_, value, indices):
                indexed = self._operand(value, POSTFIX)
                return _run(indexed, self._bracket("[", indices, "]", expr.span.end, self._position))
            case ast.Attribute(_, value, name):
                return _run(self._operand(value, POSTFIX), ".", name.span.text)
            case _:
                return self._display(expr)

    def expressions(self, exprs: Sequence[Expr]) -> Piece:
        """Expressions with commas between them."""
        return _commas([self.expression(expr) for expr in exprs])

    def names(self, names: Sequence[ast.Name]) -> str:
        return ", ".join(name.span.text for name in names)

    # --- operators ----------------------------------------------------------------------------------------------

    def _operand(self, expr: Expr, needed: int) -> Piece:
        """An expression where one is due that binds at least so tightly: in brackets if it does not.

        Brackets that change nothing are kept around what is looser than a sum, where they help the reader.
        """
        strength = _strength(expr)
        if strength < needed or (strength < SUM and self._in_brackets(expr)):
            return Bracket("(", [(NOTHING, self.expression(expr))], ")")
        return self.expression(expr)

    def _in_brackets(self, expr: Expr) -> bool:
        """Whether an operand was written in brackets of its own."""
        start, text = expr.span.start, self._text
        while start and (text[start - 1].isspace() or start in self._comments.ends):
            start = self._comments.ends.get(start, start - 1)
        return text[start - 1 : start] == "(" and _CLOSING.match(text, expr.span.end) is not None

    def _pipe(self, pipe: ast.Pipe) -> Piece:
        first = self._operand(pipe.parts[0], OR)
        links: list[Link] = []
        for before, part in zip(pipe.parts, pipe.parts[1:], strict=False):
            kept = "\n" in self._text[before.span.end : part.span.start]
            links.append(self._link("->", part, OR, kept=kept))
        return Chain(first, links, arrows=True)

    def _link(self, mark: str, part: Expr, needed: int, *, kept: bool = False) -> Link:
        notes = self._comments.notes(part.span.start)
        return Link(mark, self._operand(part, needed), notes, kept=kept)

    def _binary(self, expr: ast.Binary) -> Piece:
        strength, left, right = _BINARY[expr.operator]
        spine = [expr]
        inner = expr.left
        while isinstance(inner, ast.Binary) and _strength(inner) == strength >= left and not self._kept(inner):
            spine.append(inner)
            inner = inner.left
        spine.reverse()
        first = self._operand(inner, left)
        links = [self._link(part.operator, part.right, right) for part in spine]
        words = [first, *(word for link in links for word in (link.mark, link.piece))]
        plain = all(isinstance(word, str) for word in words) and not any(link.notes for link in links)
        if plain and all(map(self._tight, spine)):
            return _run(*words)
        return Chain(first, links)

    def _kept(self, expr: Expr) -> bool:
        return _strength(expr) < SUM and self._in_brackets(expr)

    def _tight(self, expr: ast.Binary) -> bool:
        """Whether the author put an operator close between its sides, as in `2*width`, and it may be."""
        between = self._text[expr.left.span.end : expr.right.span.start]
        return expr.operator in _CLOSE and between.strip("()") == expr.operator

    def _conditional(self, expr: ast.Conditional) -> Piece:
        first = self._operand(expr.then, PIPE)
        links = [self._link("if", expr.condition, PIPE)]
        while isinstance(expr.otherwise, ast.Conditional) and not self._kept(expr.otherwise):
            expr = expr.otherwise
            links += [self._link("else", expr.then, PIPE), self._link("if", expr.condition, PIPE)]
        return Chain(first, [*links, self._link("else", expr.otherwise, ANY)])

    # --- brackets -----------------------------------------------------------------------------------------------

    def _display(self, expr: Expr) -> Piece:
        end = expr.span.end
        match expr:
            case ast.ListExpr(_, items):
                return self._bracket("[", items, "]", end, self.expression)
            case ast.RecordExpr(_, fields):
                return self._bracket("(", fields, ")", end, self._argument)
            case ast.TupleExpr(_, items):
                return self._bracket("(", items, ")" if len(items) > 1 else ",)", end, self.expression)
            case ast.Comprehension():
                notes = self._comments.notes(expr.item.span.start)
                return Bracket("[", [(notes, self._comprehension(expr))], "]", self._comments.notes(end))
            case _:
                raise TypeError(f"{type(expr).__name__} stands in no brackets of its own")

    def _bracket(
        self, opening: str, items: Sequence[T], closing: str, end: int, piece: Callable[[T], Piece]
    ) -> Bracket:
        """Items in brackets, of which the closing one ends at `end`."""
        noted = [(self._comments.notes(item.span.start), piece(item)) for item in items]
        return Bracket(opening, noted, closing, self._comments.notes(end))

    def _comprehension(self, expr: ast.Comprehension) -> Piece:
        item = self.expression(expr.item)
        notes = self._comments.notes(expr.targets[0].span.start)
        source = _run(self.names(expr.targets), " in ", self.expression(expr.iterable))
        return Chain(item, [Link("for", source, notes)])

    def _argument(self, argument: ast.Argument) -> Piece:
        value = argument.value
        if argument.name is not None:
            return _run(argument.name.span.text, "=", self.expression(value))
        if isinstance(value, ast.Comprehension) and value.span == argument.span and not self._is_list(value):
            return self._comprehension(value)
        return self.expression(value)

    def _is_list(self, expr: ast.Comprehension) -> bool:
        """Whether a comprehension has brackets of its own, which may be left out in a call."""
        return self._text[expr.span.start] == "[" and expr.item.span.start > expr.span.start

    def _position(self, index: Expr | ast.Slice) -> Piece:
        if not isinstance(index, ast.Slice):
            return self.expression(index)
        start = "" if index.start is None else self.expression(index.start)
        return _run(start, ":", "" if index.stop is None else self.expression(index.stop))

    # --- types and parameters -----------------------------------------------------------------------------------

    def type(self, type_: ast.TypeExpr) -> Piece:
        name: Piece = type_.name.span.text
        if type_.dims is not None:
            end = type_.below.span.start if type_.below else type_.span.end
            name = _run(name, self._bracket("[", type_.dims, "]", end, self._dimension))
        return name if type_.below is None else _run(name, " < ", self._operand(type_.below, SUM))

    def _dimension(self, dimension: Expr) -> Piece:
        return self._operand(dimension, SUM)

    def parameters(self, parameters: Sequence[ast.Parameter], name: ast.Name) -> Piece:
        """The parameters behind a name, in brackets."""
        return self._bracket("(", parameters, ")", self._closing(parameters, name.span.end), self._parameter)

    def _parameter(self, parameter: ast.Parameter) -> Piece:
        named = _run(parameter.name.span.text, *((": ", self.type(parameter.type)) if parameter.type else ()))
        return named if parameter.default is None else _run(named, " = ", self.expression(parameter.default))

    def results(self, results: Sequence[ast.Result]) -> Piece:
        if results[0].name is None:
            return self.type(results[0].type)
        return self._bracket("(", results, ")", self._closing(results, 0), self._result)

    def _result(self, result: ast.Result) -> Piece:
        name = "" if result.name is None else f"{result.name.span.text}: "
        return _run(name, self.type(result.type))

    def imports(self, item: ast.Import) -> Piece:
        """An import, with brackets around its names where they do not fit on a line."""
        head = f"from {'.' * item.dots}{'.'.join(name.span.text for name in item.path)} import "
        names = self._bracket("(", item.names, ")", item.span.end, self.expression)
        plain = head + self.names(item.names)
        return plain if len(plain) <= WIDTH and not names.noted else Run(head, names)

    def _closing(self, items: Sequence[ast.Node], start: int) -> int:
        """Where the bracket behind the items ends."""
        closing = _CLOSING.match(self._text, items[-1].span.end if items else start)
        return closing.end() if closing else start


def _strength(expr: Expr) -> int:
    """How tightly an expression binds."""
    match expr:
        case ast.Conditional():
            return ANY
        case ast.Pipe():
            return PIPE
        case ast.Binary(_, operator):
            return _BINARY[operator][0]
        case ast.Unary(_, operator):
            return SIGNED if operator == "-" else NOT
        case ast.Call() | ast.Index() | ast.Attribute():
            return POSTFIX
        case _:
            return ATOM


def _run(*pieces: Piece) -> Piece:
    """Pieces side by side: a word if all of them are words."""
    words = [piece for piece in pieces if isinstance(piece, str)]
    return "".join(words) if len(words) == len(pieces) else Run(*pieces)


def _commas(pieces: Sequence[Piece]) -> Piece:
    return _run(*[word for piece in pieces for word in (", ", piece)][1:])
