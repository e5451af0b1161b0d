"""What the rules of dl.lark make: for each rule a method of `Builder`, which gives a node of the syntax tree."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, TypeVar

from dlc.grammar import ast
from dlc.grammar.ast import Expr, Name
from dlc.grammar.diagnostics import Diagnostic, Sink
from dlc.grammar.errors import MAX_DIGITS, ChainedComparison, MalformedNumber, UnknownEscape
from dlc.grammar.lexer import Token
from dlc.grammar.source import Source, Span
from dlc.grammar.tables import RULES

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}
_INTEGER = re.compile(r"[0-9]+(?:_[0-9]+)*")
_FLOAT = re.compile(r"[0-9]+(?:_[0-9]+)*(?:\.[0-9]+(?:_[0-9]+)*)?(?:[eE][+-]?[0-9]+)?")
_COMPARISONS = {"==", "!=", "<", "<=", ">", ">="}
_CONSTANTS: dict[str, bool | None] = {"KW_TRUE": True, "KW_FALSE": False, "KW_NONE": None}

T = TypeVar("T")
# A body while it is read: what came before it, and its last item.
Chain = tuple["Chain | None", Any]


class Builder:
    """Makes the nodes of one declaration, which `doc` documents.

    Mistakes within a terminal go to the sink; the node stands for what was meant.
    """

    def __init__(self, source: Source, sink: Sink, doc: str = "") -> None:
        self._source = source
        self._sink = sink
        self._doc = doc

    def _span(self, start: int, end: int) -> Span:
        return Span(self._source, start, end)

    def _refuse(self, mistake: Diagnostic) -> None:
        self._sink.add(mistake)

    def make(self, action: str, start: int, end: int, children: list[Any]) -> Any:
        """The value of a rule: calls the method of its name."""
        return _METHODS[action](self, Span(self._source, start, end), *children)

    # --- terminals ----------------------------------------------------------------------------------------------

    def terminal(self, token: Token) -> Any:
        """A node for names, numbers, strings and constants; the text of all others."""
        kind = token.kind
        if kind == "NAME":
            return Name(Span(self._source, token.start, token.end), token.text)
        if kind in _CONSTANTS:
            return ast.Literal(self._span(token.start, token.end), _CONSTANTS[kind])
        if kind == "NUMBER":
            return self._number(token)
        if kind == "STRING":
            return self._string(token)
        if kind == "ELLIPSIS":
            return ast.EllipsisLiteral(self._span(token.start, token.end))
        return token.text

    def _number(self, token: Token) -> ast.Literal:
        span = self._span(token.start, token.end)
        text = token.text
        if _INTEGER.fullmatch(text):
            if len(text) <= MAX_DIGITS:
                return ast.Literal(span, int(text))
            self._refuse(MalformedNumber(f"a whole number has at most {MAX_DIGITS} digits", span))
        elif _FLOAT.fullmatch(text):
            value = float(text)
            if math.isinf(value):
                self._refuse(MalformedNumber(f"`{_short(text)}` is too large for a float", span))
            elif value == 0 and re.search("[1-9]", re.split("[eE]", text)[0]):
                self._refuse(MalformedNumber(f"`{_short(text)}` is too close to 0 for a float", span))
            return ast.Literal(span, value)
        else:
            advice = "numbers are written as 32, 10_000, 0.5 or 3e-4"
            self._refuse(MalformedNumber(f"`{_short(text)}` is not a number", span, help=advice))
        return ast.Literal(span, 0)

    def _string(self, token: Token) -> ast.Literal:
        body = token.text[1:-1]
        if "\\" in body:
            body = _ESCAPE.sub(lambda match: self._escape(match, token.start + 1), body)
        return ast.Literal(self._span(token.start, token.end), body)

    def _escape(self, match: re.Match[str], offset: int) -> str:
        number, character = match.groups()
        if number is not None and not 0xD800 <= int(number, 16) < 0xE000:
            return chr(int(number, 16))
        if character in _ESCAPES:
            return _ESCAPES[character]
        span = self._span(offset + match.start(), offset + match.end())
        advice = r"the escapes are \n, \t, \", \\ and \uXXXX; a backslash itself is \\"
        self._refuse(UnknownEscape(f"`{match[0]}` is not an escape", span, help=advice))
        return match[0]

    # --- declarations -------------------------------------------------------------------------------------------

    def language(self, span: Span, version: ast.Literal) -> ast.Language:
        return ast.Language(span, version)

    def import_(self, span: Span, module: tuple[int, tuple[Name, ...]], names: tuple[Name, ...]) -> ast.Import:
        return ast.Import(span, *module, names)

    def module(self, span: Span, dots: int | None, *path: Name) -> tuple[int, tuple[Name, ...]]:
        return dots or 0, path

    def dots(self, span: Span, *dots: str | ast.EllipsisLiteral) -> int:
        return sum(1 if isinstance(dot, str) else 3 for dot in dots)

    def let(self, span: Span, name: Name, value: Expr) -> ast.Let:
        return ast.Let(span, name, value, self._doc)

    def block(
        self,
        span: Span,
        kind: str,
        name: Name,
        parameters: tuple[ast.Parameter, ...],
        results: tuple[ast.Result, ...] | None,
        body: tuple[ast.Statement, ...],
    ) -> ast.Block:
        return ast.Block(span, kind, name, parameters, results, body, self._doc)

    def parameter(self, span: Span, name: Name, type_: ast.TypeExpr | None, default: Expr | None) -> ast.Parameter:
        return ast.Parameter(span, name, type_, default)

    def result(self, span: Span, type_: ast.TypeExpr) -> ast.Result:
        return ast.Result(span, None, type_)

    def named_result(self, span: Span, name: Name, type_: ast.TypeExpr) -> ast.Result:
        return ast.Result(span, name, type_)

    def data(self, span: Span, name: Name, items: Chain) -> ast.Data:
        return ast.Data(span, name, _unchained(items), self._doc)

    def data_field(self, span: Span, name: Name, type_: ast.TypeExpr, value: Expr | None) -> ast.DataField:
        return ast.DataField(span, name, type_, value)

    def setting(self, span: Span, name: Name, value: Expr) -> ast.Setting:
        return ast.Setting(span, name, value)

    def augment(self, span: Span, _word: str, body: tuple[ast.Statement, ...]) -> ast.Augment:
        return ast.Augment(span, body)

    def train(self, span: Span, name: Name, data: Name, items: Chain) -> ast.Train:
        return ast.Train(span, name, data, _unchained(items), self._doc)

    def settings(self, span: Span, _word: str, items: Chain) -> ast.Settings:
        return ast.Settings(span, _unchained(items))

    def phase(
        self,
        span: Span,
        name: Name,
        parameters: tuple[ast.Parameter, ...] | None,
        body: tuple[ast.Statement, ...],
    ) -> ast.Phase:
        return ast.Phase(span, name, parameters, body)

    def type_(self, span: Span, name: Name, dims: tuple[Expr, ...] | None, below: Expr | None) -> ast.TypeExpr:
        return ast.TypeExpr(span, name, dims, below)

    # --- statements ---------------------------------------------------------------------------------------------

    def suite(self, span: Span, statements: Chain) -> tuple[ast.Statement, ...]:
        return _unchained(statements)

    def assign(self, span: Span, names: tuple[Name, ...], value: Expr, origin: ast.Literal | None) -> ast.Assign:
        return ast.Assign(span, names, value, origin)

    def update(self, span: Span, target: Expr, value: Expr) -> ast.Update:
        return ast.Update(span, target, value)

    def weight(self, span: Span, kind: str, name: Name, type_: ast.TypeExpr, value: Expr | None) -> ast.WeightDecl:
        return ast.WeightDecl(span, kind, name, type_, value, None)

    def drawn_weight(self, span: Span, kind: str, name: Name, type_: ast.TypeExpr, law: Expr) -> ast.WeightDecl:
        return ast.WeightDecl(span, kind, name, type_, None, law)

    def return_(self, span: Span, values: tuple[Expr, ...]) -> ast.Return:
        return ast.Return(span, values)

    def require(self, span: Span, _word: str, condition: Expr, message: Expr | None) -> ast.Require:
        return ast.Require(span, condition, message)

    def ensure(self, span: Span, _word: str, claim: Expr) -> ast.Ensure:
        return ast.Ensure(span, claim)

    def minimize(
        self, span: Span, kind: str, value: Expr, over: tuple[Expr, ...] | None, using: Expr | None
    ) -> ast.Minimize:
        return ast.Minimize(span, kind, value, over or (), using)

    def report(self, span: Span, _word: str, name: Name, value: Expr) -> ast.Report:
        return ast.Report(span, name, value)

    def for_(self, span: Span, names: tuple[Name, ...], iterable: Expr, body: tuple[ast.Statement, ...]) -> ast.For:
        return ast.For(span, names, iterable, body)

    def loop(
        self,
        span: Span,
        _word: str,
        over: tuple[tuple[Name, ...], tuple[Expr, ...], Expr | None],
        collects: tuple[ast.Collect, ...] | None,
        body: tuple[ast.Statement, ...],
    ) -> ast.Loop:
        return ast.Loop(span, *over, collects or (), body)

    def loop_count(self, span: Span, count: Expr) -> tuple[tuple[Name, ...], tuple[Expr, ...], None]:
        return (), (count,), None

    def loop_over(
        self, span: Span, names: tuple[Name, ...], sequences: tuple[Expr, ...], axis: Expr | None
    ) -> tuple[tuple[Name, ...], tuple[Expr, ...], Expr | None]:
        return names, sequences, axis

    def collect(self, span: Span, value: Expr, name: Name) -> ast.Collect:
        return ast.Collect(span, value, name)

    def if_(self, span: Span, branches: Chain, otherwise: ast.Branch | None) -> ast.If:
        found: tuple[ast.Branch, ...] = _unchained(branches)
        return ast.If(span, (*found, otherwise) if otherwise else found)

    def branch(self, span: Span, condition: Expr, body: tuple[ast.Statement, ...]) -> ast.Branch:
        return ast.Branch(span, condition, body)

    def otherwise(self, span: Span, body: tuple[ast.Statement, ...]) -> ast.Branch:
        return ast.Branch(span, None, body)

    # --- bodies and lists ---------------------------------------------------------------------------------------

    def _first(self, span: Span, item: Any) -> Chain:
        return None, item

    statements = data_items = train_items = setting_items = branches = _first

    def more(self, span: Span, before: Chain, item: Any) -> Chain:
        return before, item

    def _together(self, span: Span, *items: T | None) -> tuple[T, ...]:
        """The items of a list; `None` stands for what was left out."""
        return tuple(item for item in items if item is not None)

    imported = parameters = results = shape = names = exprs = collects = arguments = indices = _together

    # --- expressions --------------------------------------------------------------------------------------------

    def conditional(self, span: Span, then: Expr, condition: Expr, otherwise: Expr) -> ast.Conditional:
        return ast.Conditional(span, then, condition, otherwise)

    def pipe(self, span: Span, *parts: Expr) -> ast.Pipe:
        return ast.Pipe(span, parts)

    def binary(self, span: Span, left: Expr, operator: str, right: Expr) -> ast.Binary:
        return ast.Binary(span, operator, left, right)

    def compare(self, span: Span, left: Expr, operator: str, right: Expr) -> ast.Binary:
        # In brackets a comparison starts behind where this one starts.
        if isinstance(left, ast.Binary) and left.operator in _COMPARISONS and left.span.start == span.start:
            advice = f"write `{left.span.text} and {left.right.span.text} {operator} {right.span.text}`"
            self._refuse(ChainedComparison("comparisons do not chain", span, help=_short(advice)))
        return ast.Binary(span, operator, left, right)

    def unary(self, span: Span, operator: str, operand: Expr) -> ast.Unary:
        return ast.Unary(span, operator, operand)

    def call(self, span: Span, function: Expr, arguments: tuple[ast.Argument, ...] | None) -> ast.Call:
        return ast.Call(span, function, arguments or ())

    def positional(self, span: Span, value: Expr) -> ast.Argument:
        return ast.Argument(span, None, value)

    def named(self, span: Span, name: Name, value: Expr) -> ast.Argument:
        return ast.Argument(span, name, value)

    def comprehension_argument(self, span: Span, item: Expr, names: tuple[Name, ...], iterable: Expr) -> ast.Argument:
        return ast.Argument(span, None, ast.Comprehension(span, item, names, iterable))

    def index(self, span: Span, value: Expr, indices: tuple[Expr | ast.Slice, ...]) -> ast.Index:
        return ast.Index(span, value, indices)

    def slice_(self, span: Span, start: Expr | None, stop: Expr | None) -> ast.Slice:
        return ast.Slice(span, start, stop)

    def attribute(self, span: Span, value: Expr, name: Name) -> ast.Attribute:
        return ast.Attribute(span, value, name)

    def tuple_(self, span: Span, *items: Expr) -> ast.TupleExpr:
        return ast.TupleExpr(span, items)

    def record(self, span: Span, *fields: ast.Argument) -> ast.RecordExpr:
        return ast.RecordExpr(span, fields)

    def list_(self, span: Span, *items: Expr | None) -> ast.ListExpr:
        return ast.ListExpr(span, self._together(span, *items))

    def comprehension(self, span: Span, item: Expr, names: tuple[Name, ...], iterable: Expr) -> ast.Comprehension:
        return ast.Comprehension(span, item, names, iterable)


def _unchained(chain: Chain) -> tuple[Any, ...]:
    items: list[Any] = []
    rest: Chain | None = chain
    while rest is not None:
        rest, item = rest
        items.append(item)
    return tuple(reversed(items))


def _short(text: str) -> str:
    """A text to show within a sentence."""
    return text if len(text) <= 60 else f"{text[:40]}…{text[-10:]}"


_METHODS: dict[str, Callable[..., Any]] = {
    action: getattr(Builder, action) for _, _, action, _ in RULES if action not in ("", "gather")
}
