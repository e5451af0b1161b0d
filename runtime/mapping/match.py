"""A mapping held against the tensors of a file and the weights of a model: who gives what to whom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from dlc.compiler.onnx.elements import numpy_type
from dlc.compiler.op import Weight
from dlc.grammar.diagnostics import Diagnostic, Label, Refusal, Sink
from dlc.grammar.source import Span
from dlc.grammar.suggest import nearest
from dlc.runtime.mapping.errors import (
    MappedTwice,
    MappingSyntax,
    MatchesNothing,
    UnfitTensor,
    UnmappedTensor,
    WeightNotGiven,
)
from dlc.runtime.mapping.parse import Ignore, Initial, Line, Prefix, Rule
from dlc.runtime.mapping.pattern import Pattern, generalised
from dlc.runtime.mapping.step import Unfit, shapes_after, told
from dlc.runtime.mapping.tensors import Stored

_SHOWN = 8
COUNTER = "num_batches_tracked"  # which PyTorch's batch norms keep beside their weights, and starts at 0 by itself


@dataclass(frozen=True)
class Gift:
    """Tensors of the file that give weights their values, or, of a rule with `==`, that hold them again."""

    rule: Rule
    sources: tuple[str, ...]
    targets: tuple[str, ...]


@dataclass(frozen=True)
class Match:
    """What becomes of each tensor and where each weight comes from. `ignored` and `initial`: by line."""

    gifts: list[Gift] = field(default_factory=list[Gift])
    ignored: dict[str, Ignore] = field(default_factory=dict[str, Ignore])
    initial: dict[str, Initial] = field(default_factory=dict[str, Initial])


def match(
    lines: Iterable[Line],
    model: str,
    models: Iterable[str],
    tensors: Mapping[str, Stored],
    weights: Mapping[str, Weight],
) -> Match:
    """Who gives what to whom. models: all that the spec declares. Raises Refusal with all that is wrong: first of the
    lines by themselves, then of what they leave open."""
    sink = Sink()
    matcher = _Matcher(sink, tensors, weights)
    chosen = list(_chosen(lines, model, models))
    for prefix, under in _by_prefix(chosen):
        matcher.lines(prefix, under)
    matcher.conflicts()
    _raise(sink)
    wrong: set[Rule] = set()
    for gift in matcher.found.gifts:
        found = None if gift.rule in wrong else _unfit(gift, tensors, weights)
        if found is not None:
            wrong.add(gift.rule)
            sink.add(found)
    _raise(sink)
    sink.extend(_left_open(matcher.found, tensors, weights))
    _raise(sink)
    return matcher.found


def _raise(sink: Sink) -> None:
    if len(sink):
        raise Refusal(*sink)


def _chosen(lines: Iterable[Line], model: str, models: Iterable[str]) -> Iterator[Line]:
    """The lines that hold for the model."""
    known = [*models, model]
    for line in lines:
        if line.model is not None and line.model.text not in known:
            near = nearest(line.model.text, known)
            help = f"did you mean {near}?" if near else f"it declares {', '.join(dict.fromkeys(known))}"
            message = f"the spec declares no model `{line.model.text}`"
            raise Refusal(MappingSyntax(message, line.model.span, help=help))
        if line.model is None or line.model.text == model:
            yield line


def _by_prefix(lines: Iterable[Line]) -> Iterator[tuple[Prefix | None, list[Line]]]:
    """The lines in groups of the same prefix."""
    groups: dict[Prefix | None, list[Line]] = {}
    for line in lines:
        groups.setdefault(line.prefix, []).append(line)
    yield from groups.items()


class _Matcher:
    def __init__(self, sink: Sink, tensors: Mapping[str, Stored], weights: Mapping[str, Weight]) -> None:
        self.found = Match()
        self._sink = sink
        self._tensors = tensors
        self._weights = weights

    def lines(self, prefix: Prefix | None, lines: list[Line]) -> None:
        """Matches the lines below a prefix."""
        theirs = ours = ""
        if prefix is not None:
            theirs = self._in_use(prefix, prefix.theirs, self._tensors, "tensor of the file")
            ours = self._in_use(prefix, prefix.ours, self._weights, "weight of the model")
            if not prefix.optional and (theirs, ours) != (prefix.theirs, prefix.ours):
                return
        for line in lines:
            match line:
                case Rule():
                    self._rule(line, theirs, ours)
                case Ignore():
                    for pattern in line.pattern.behind(theirs).each:
                        self._ignore(line, pattern)
                case Initial():
                    for pattern in line.pattern.behind(ours).each:
                        self._initial(line, pattern)
                case _:
                    raise TypeError(f"a mapping has no line of the kind {type(line).__name__}")

    def _in_use(self, prefix: Prefix, text: str, names: Iterable[str], what: str) -> str:
        """The prefix, or nothing where no name begins with it. That is an error for one that is not optional."""
        if any(name.startswith(text) for name in names):
            return text
        if not prefix.optional:
            help = "if some do and others do not: `optional prefix`"
            self._sink.add(MatchesNothing(f"no {what} begins with `{text}`", prefix.span, help=help))
        return ""

    def _ignore(self, line: Ignore, pattern: Pattern) -> None:
        names = [name for name in self._tensors if pattern.match(name) is not None]
        if not names and not line.optional:
            self._sink.add(self._no_tensor(pattern))
        self.found.ignored.update(dict.fromkeys(names, line))

    def _initial(self, line: Initial, pattern: Pattern) -> None:
        paths = [path for path in self._weights if pattern.match(path) is not None]
        if not paths:
            self._sink.add(_no_weight(pattern.text, line.pattern.span, self._weights))
        self.found.initial.update(dict.fromkeys(paths, line))

    def _rule(self, rule: Rule, theirs: str, ours: str) -> None:
        sources, targets = rule.source.behind(theirs).each, rule.target.behind(ours).each
        if rule.splits or rule.joins:
            self._gifts(rule, sources, targets)
        else:
            for source, target in zip(sources, targets * (len(sources) // len(targets)), strict=True):
                self._gifts(rule, (source,), (target,))

    def _gifts(self, rule: Rule, sources: tuple[Pattern, ...], targets: tuple[Pattern, ...]) -> None:
        """What one rule gives: once for each value of its placeholders that the file has."""
        values = {
            tuple(sorted(found.items())): found
            for source in sources
            for name in self._tensors
            if (found := source.match(name)) is not None
        }
        if not values and not rule.optional:
            self._sink.add(self._no_tensor(sources[0]))
        for found in values.values():
            names = tuple(source.fill(found) for source in sources)
            paths = tuple(target.fill(found) for target in targets)
            lacking = [name for name in names if name not in self._tensors]
            unknown = [path for path in paths if path not in self._weights]
            if lacking:
                there = next(name for name in names if name in self._tensors)
                message = f"the file holds `{there}`, and no `{lacking[0]}` to join it with"
                self._sink.add(MatchesNothing(message, rule.source.span))
                return
            if unknown:
                self._sink.add(_no_weight(unknown[0], rule.target.span, self._weights, from_=names[0]))
                return
            self.found.gifts.append(Gift(rule, names, paths))

    def _no_tensor(self, pattern: Pattern) -> Diagnostic:
        near = nearest(pattern.text, {generalised(name) for name in self._tensors} | {*self._tensors})
        help = f"did you mean `{near}`?" if near else "if some files hold it and others do not: `optional`"
        return MatchesNothing(f"the file holds no tensor `{pattern.text}`", pattern.span, help=help)

    def conflicts(self) -> None:
        """Tells weights that two lines give, and tensors that are ignored and used."""
        given: dict[str, Gift | Initial] = dict(self.found.initial)
        told: set[Line] = set()
        for gift in self.found.gifts:
            for path in () if gift.rule.equal else gift.targets:
                other = given.setdefault(path, gift)
                if other is not gift and gift.rule not in told:
                    told.add(gift.rule)
                    line = other.rule if isinstance(other, Gift) else other
                    self._sink.add(_twice(f"`{path}` is given twice", gift.rule.span, line.span))
            for name in gift.sources:
                ignoring = self.found.ignored.get(name)
                if ignoring is not None and ignoring not in told:
                    told.add(ignoring)
                    self._sink.add(_twice(f"`{name}` is used, and ignored too", ignoring.span, gift.rule.span))


def _twice(message: str, span: Span, other: Span) -> Diagnostic:
    labels = () if other == span else (Label(other, "the other line"),)
    return MappedTwice(message, span, labels=labels)


def _no_weight(path: str, span: Span, weights: Mapping[str, Weight], from_: str | None = None) -> Diagnostic:
    near = nearest(path, {generalised(other) for other in weights} | {*weights})
    help = f"did you mean `{near}`?" if near else "`dlc show --json` lists the weights"
    notes = () if from_ is None else (f"it is where `{from_}` is to go",)
    return MatchesNothing(f"the model has no weight `{path}`", span, notes=notes, help=help)


def _unfit(gift: Gift, tensors: Mapping[str, Stored], weights: Mapping[str, Weight]) -> Diagnostic | None:
    """Why tensors cannot be what the weights are, in shape or element type."""
    rule = gift.rule
    due = [tuple(map(int, weights[path].shape)) for path in gift.targets]
    try:
        now = shapes_after(rule.steps, [tensors[name].shape for name in gift.sources], due)
    except Unfit as unfit:
        return UnfitTensor(f"`{gift.sources[0]}` does not fit `{gift.targets[0]}`: {unfit}", rule.span)
    for shape, wanted, path in zip(now, due, gift.targets, strict=True):
        if shape != wanted:
            turned = len(shape) == 2 and shape[::-1] == wanted
            there = any(step.name == "transpose" for step in rule.steps)
            mend = "leave `transpose` out" if there else "it is kept the other way round: … -> transpose -> …"
            message = f"`{gift.sources[0]}` gives {told(shape)}, and `{path}` is {told(wanted)}"
            return UnfitTensor(message, rule.span, help=mend if turned else None)
    for name in gift.sources:
        for path in gift.targets:
            stored, dtype = tensors[name], numpy_type(weights[path].dtype).name
            if not stored.fits(dtype, rule.casts):
                mend = "that loses precision, which `-> cast` before the weight allows"
                message = f"`{name}` holds {stored.dtype}, and `{path}` is {dtype}"
                return UnfitTensor(message, rule.span, help=mend if stored.fits(dtype, True) else None)
    return None


def _left_open(found: Match, tensors: Mapping[str, Stored], weights: Mapping[str, Weight]) -> Iterator[Diagnostic]:
    """Tensors of which no line speaks, and weights that none gives."""
    used = {name for gift in found.gifts for name in gift.sources}
    loose = [name for name in tensors if name not in used and name not in found.ignored]
    if loose:
        message = f"no line of the mapping speaks of `{loose[0]}`{_others(loose, 'of')}"
        notes = tuple(f"`{name}` is {told(tensors[name].shape)}" for name in loose[:_SHOWN])
        help = f"give it to a weight, or drop it: ignore {generalised(loose[0])}"
        yield UnmappedTensor(message, None, notes=notes, help=help)
    given = {path for gift in found.gifts if not gift.rule.equal for path in gift.targets}
    waiting = [
        path
        for path in weights
        if path not in given and path not in found.initial and path.rpartition(".")[2] != COUNTER
    ]
    if waiting:
        message = f"nothing is given to the weight `{waiting[0]}`{_others(waiting, 'to')}"
        notes = tuple(f"`{path}` is {told(tuple(map(int, weights[path].shape)))}" for path in waiting[:_SHOWN])
        help = f"give it a tensor, or leave it as the spec says: initial {generalised(waiting[0])}"
        yield WeightNotGiven(message, None, notes=notes, help=help)


def _others(names: list[str], link: str) -> str:
    count = len(names) - 1
    return f", nor {link} {count} other{'s' * (count > 1)}" if count else ""
