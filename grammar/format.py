"""The canonical layout of a spec, comments kept: what `dlc fmt` writes.

It says the same: read again, it gives an equal tree. Line breaks before the `->` of a pipe and single blank lines are
the author's; all else follows from the tree and the width of a line.
"""

from __future__ import annotations

from collections.abc import Sequence

from dlc.grammar import ast
from dlc.grammar.page import STEP, Chain, Link, Piece, Run, set_lines
from dlc.grammar.phrase import Comments, Phrases

_Inner = (
    ast.DataField | ast.Setting | ast.Augment | ast.Assign | ast.Settings | ast.Phase | ast.Statement
)  # what stands in a body
_Item = ast.Language | ast.Import | ast.Declaration | _Inner


def format_file(file: ast.File) -> str:
    """The text of a spec in the canonical layout. The spec must have been read without a mistake."""
    formatter = _Formatter(file)
    formatter.body(file.items, 0, len(file.source.text) + 1)
    return "".join(f"{line}\n" for line in formatter.lines)


class _Formatter:
    """Writes the items of a file in their order, and above each the comments that stand there.

    `following` is, throughout, where the next item starts in the source.
    """

    def __init__(self, file: ast.File) -> None:
        self.lines: list[str] = []
        self._source = file.source.text
        self._comments = Comments(file.comments)
        self._phrases = Phrases(file.source, self._comments)
        self._last = 0  # where what was written last ends in the source

    def body(self, items: Sequence[_Item], indent: int, following: int) -> None:
        for place, item in enumerate(items):
            apart = indent == 0 and place > 0 and _apart(items[place - 1], item)
            self._above(item.span.start, indent, fresh=place == 0, apart=apart)
            self._item(item, indent, items[place + 1].span.start if place + 1 < len(items) else following)
        self._below(items, indent, following)

    # --- comments and blank lines -------------------------------------------------------------------------------

    def _above(self, start: int, indent: int, *, fresh: bool, apart: bool = False) -> None:
        """The comments above a place. fresh: no blank line comes first. apart: there is to be one somewhere."""
        apart = apart and not self._any_gap(start)
        while comment := self._comments.next(start):
            self._comment(indent, fresh=fresh, apart=apart)
            # What is not at the margin documents nothing, and is not to by being moved there.
            fresh, apart = False, indent == 0 and not self._at_margin(comment)
        self._gap(start, fresh=fresh, apart=apart)

    def _below(self, items: Sequence[_Item], indent: int, following: int) -> None:
        """The comments behind the last item of a body, as long as they are indented as deep."""
        column = self._column(items[0].span.start) if items and indent else 0
        fresh = not items
        while (comment := self._comments.next(following)) and self._column(comment.span.start) >= column:
            self._comment(indent, fresh=fresh, apart=False)
            fresh = False

    def _comment(self, indent: int, *, fresh: bool, apart: bool) -> None:
        comment = self._comments.take()
        self._gap(comment.span.start, fresh=fresh, apart=apart)
        self.lines.append(" " * indent + comment.text)
        self._last = comment.span.end

    def _gap(self, start: int, *, fresh: bool, apart: bool) -> None:
        """A blank line, where the author has some, or where one is due."""
        if not fresh and (apart or self._source.count("\n", self._last, start) > 1):
            self.lines.append("")

    def _any_gap(self, start: int) -> bool:
        """Whether the author has a blank line between what was written last and a place."""
        return any(not line.strip() for line in self._source[self._last : start].split("\n")[1:-1])

    def _at_margin(self, comment: ast.Comment) -> bool:
        start = comment.span.start
        return start == 0 or self._source[start - 1] in "\n\ufeff"

    def _column(self, start: int) -> int:
        return len(self._source[self._source.rfind("\n", 0, start) + 1 : start].expandtabs())

    # --- items --------------------------------------------------------------------------------------------------

    def _item(self, item: _Item, indent: int, following: int) -> None:
        phrases = self._phrases
        match item:
            case ast.Block(_, kind, name, parameters, results, body):
                self._open(self._signature(f"{kind} ", name, parameters, results), body, indent, following)
            case ast.Data(_, name, items):
                self._open(f"data {name.span.text}:", items, indent, following)
            case ast.Train(_, name, data, items):
                self._open(f"train {name.span.text} on {data.span.text}:", items, indent, following)
            case ast.Settings(_, items):
                self._open("settings:", items, indent, following)
            case ast.Augment(_, body):
                self._open("augment:", body, indent, following)
            case ast.Phase(_, name, parameters, body):
                plain = f"{name.span.text}:"
                head = plain if parameters is None else self._signature("", name, parameters, None)
                self._open(head, body, indent, following)
            case ast.For(_, targets, iterable, body):
                head = Run(f"for {phrases.names(targets)} in ", phrases.expression(iterable), ":")
                self._open(head, body, indent, following)
            case ast.Loop():
                self._open(self._loop(item), item.body, indent, following)
            case ast.If(_, branches):
                self._branches(branches, indent, following)
            case _:
                self._write(self._simple(item), indent, indent + STEP, item.span.end, following)

    def _open(self, head: Piece, body: Sequence[_Item], indent: int, following: int) -> None:
        """A line that opens a body, and the body."""
        start = body[0].span.start
        self._write(head, indent, indent + 2 * STEP, 0, start)
        self.body(body, indent + STEP, following)

    def _write(self, piece: Piece, indent: int, hang: int, end: int, following: int) -> None:
        """The lines of a statement that ends at `end`, with the comment behind it."""
        lines = set_lines(piece, indent, hang)
        self._last = end
        while (comment := self._comments.next(following)) and (comment.span.start < end or not comment.own_line):
            lines[-1] += f"  {self._comments.take().text}"
            self._last = max(end, comment.span.end)
        self.lines += lines

    def _branches(self, branches: Sequence[ast.Branch], indent: int, following: int) -> None:
        starts = [*(branch.span.start for branch in branches), following]
        for place, (condition, body) in enumerate((branch.condition, branch.body) for branch in branches):
            if place:
                self._above(starts[place], indent, fresh=True)
            word = "elif " if place else "if "
            head = Run(word, self._phrases.expression(condition), ":") if condition else "else:"
            self._open(head, body, indent, starts[place + 1])

    def _signature(
        self,
        kind: str,
        name: ast.Name,
        parameters: Sequence[ast.Parameter],
        results: Sequence[ast.Result] | None,
    ) -> Piece:
        head = Run(kind + name.span.text, self._phrases.parameters(parameters, name))
        if results is None:
            return Run(head, ":")
        notes = self._comments.notes(results[0].span.start)
        return Chain(head, [Link("->", Run(self._phrases.results(results), ":"), notes)], arrows=True)

    def _loop(self, loop: ast.Loop) -> Piece:
        phrases = self._phrases
        words: list[Piece] = [f"loop {phrases.names(loop.targets)} in " if loop.targets else "loop "]
        words.append(phrases.expressions(loop.sequences))
        if loop.axis is not None:
            words += [" along ", phrases.expression(loop.axis)]
        for place, collect in enumerate(loop.collects):
            words += [", " if place else " collecting ", phrases.expression(collect.value)]
            words.append(f" as {collect.name.span.text}")
        return Run(*words, ":")

    def _simple(self, item: _Item) -> Piece:
        phrases = self._phrases
        match item:
            case ast.Language(_, version):
                return f"language {version.span.text}"
            case ast.Import():
                return phrases.imports(item)
            case ast.Let(_, name, value):
                return Run(f"let {name.span.text} = ", phrases.expression(value))
            case ast.Assign(_, targets, value, origin):
                source = f" from {origin.span.text}" if origin else ""
                return Run(f"{phrases.names(targets)} = ", phrases.expression(value), source)
            case ast.Update(_, target, value):
                return Run(phrases.expression(target), " := ", phrases.expression(value))
            case ast.WeightDecl():
                return self._weight(item)
            case ast.Return(_, values):
                return Run("return ", phrases.expressions(values))
            case ast.Require(_, condition, message):
                reason = [", ", phrases.expression(message)] if message else []
                return Run("require ", phrases.expression(condition), *reason)
            case ast.Ensure(_, claim):
                return Run("ensure ", phrases.expression(claim))
            case ast.Minimize():
                return self._minimize(item)
            case ast.Report(_, name, value):
                return Run(f"report {name.span.text} = ", phrases.expression(value))
            case ast.DataField(_, name, type_, value):
                declared = Run(f"{name.span.text}: ", phrases.type(type_))
                return declared if value is None else Run(declared, " = ", phrases.expression(value))
            case ast.Setting(_, name, value):
                return Run(f"{name.span.text} = ", phrases.expression(value))
            case _:
                raise TypeError(f"{type(item).__name__} has a body")

    def _weight(self, weight: ast.WeightDecl) -> Piece:
        phrases = self._phrases
        declared = Run(f"{weight.kind} {weight.name.span.text}: ", phrases.type(weight.type))
        if weight.distribution is not None:
            return Run(declared, " ~ ", phrases.expression(weight.distribution))
        return declared if weight.value is None else Run(declared, " = ", phrases.expression(weight.value))

    def _minimize(self, step: ast.Minimize) -> Piece:
        phrases = self._phrases
        words: list[Piece] = [f"{step.kind} ", phrases.expression(step.value)]
        if step.over:
            words += [" over ", phrases.expressions(step.over)]
        if step.using is not None:
            words += [" using ", phrases.expression(step.using)]
        return Run(*words)


def _apart(before: _Item, item: _Item) -> bool:
    """Whether a blank line stands between two declarations."""
    together = (ast.Let, ast.Import)
    return type(before) is not type(item) or not isinstance(item, together)
