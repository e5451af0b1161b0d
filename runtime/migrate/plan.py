"""What becomes of each tensor of a run in another spec: kept, renamed, made anew or dropped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dlc.compiler.graph import weights_of
from dlc.compiler.op import Weight
from dlc.compiler.program import TrainSpec
from dlc.grammar.diagnostics import Refusal
from dlc.grammar.source import Source, Span
from dlc.grammar.suggest import nearest
from dlc.runtime.errors import CannotMigrate
from dlc.runtime.mapping.match import Gift, match
from dlc.runtime.mapping.parse import Ignore, Initial, Line, Rule, read_mapping
from dlc.runtime.mapping.pattern import Patterns, read_pattern
from dlc.runtime.mapping.step import told
from dlc.runtime.mapping.tensors import Stored, TensorFile


@dataclass(frozen=True)
class Plan:
    """gifts: which tensors of the run give which weights. renamed: those among them that get another name, or are
    changed on the way. fresh: weights that start as the spec says. dropped: tensors that are not carried over."""

    gifts: tuple[Gift, ...]
    fresh: tuple[str, ...]
    dropped: tuple[str, ...]

    @property
    def kept(self) -> list[str]:
        """The weights that keep their name and their numbers."""
        return [gift.targets[0] for gift in self.gifts if gift.sources == gift.targets and not gift.rule.steps]

    @property
    def renamed(self) -> list[tuple[str, str]]:
        """What gives what, for all others."""
        return [
            (", ".join(gift.sources), ", ".join(gift.targets))
            for gift in self.gifts
            if gift.sources != gift.targets or gift.rule.steps
        ]


def plan(file: TensorFile, spec: TrainSpec, mapping: str | None) -> Plan:
    """What becomes of each tensor of a run's file. mapping: the path of a map, for what is called otherwise now.

    What the map does not speak of keeps its name; what is there on one side alone is new or dropped. Raises Refusal
    where a line of the map is wrong, a shape has changed, or nothing is left of the run.
    """
    due = weights_by_path(spec)
    lines = read_mapping(Path(mapping)) if mapping is not None else ()
    theirs, ours = _spoken_of(lines, file.stored, due)
    alike = [name for name in file.stored if name in due and name not in theirs and name not in ours]
    _require_shapes(alike, file.stored, due)
    fresh = [path for path in due if path not in ours and path not in alike]
    dropped = [name for name in file.stored if name not in theirs and name not in alike]
    added = [
        *(f"{name} -> {name}" for name in alike),
        *(f"initial {path}" for path in fresh),
        *(f"ignore {name}" for name in dropped),
    ]
    found = match([*lines, *_lines(added)], spec.name, [spec.name], file.stored, due)
    if not found.gifts:
        message = f"nothing of {file.path} is called as it is in {spec.name}"
        near = nearest(next(iter(file.stored), ""), due)
        notes = (f"the run has {_few(file.stored)}", f"the spec has {_few(due)}")
        help = f"a map tells what became of names: {next(iter(file.stored), '…')} -> {near or next(iter(due), '…')}"
        raise Refusal(CannotMigrate(message, None, notes=notes, help=help))
    return Plan(tuple(found.gifts), tuple(found.initial), tuple(found.ignored))


def weights_by_path(spec: TrainSpec) -> dict[str, Weight]:
    """Every weight of a training by its path in a run."""
    return {
        spec.weight_prefix(instance) + path.removeprefix(f"{instance}."): weight
        for instance, module in spec.instances.items()
        for path, weight in weights_of({instance: module})
    }


def _spoken_of(
    lines: Iterable[Line], tensors: Mapping[str, Stored], weights: Mapping[str, Weight]
) -> tuple[set[str], set[str]]:
    """The tensors and the weights that a line of the map is about."""
    theirs: set[str] = set()
    ours: set[str] = set()
    for line in lines:
        before, behind = ("", "") if line.prefix is None else (line.prefix.theirs, line.prefix.ours)
        match line:
            case Rule(source=source, target=target):
                theirs |= _matched(source, before, tensors)
                ours |= _matched(target, behind, weights)
            case Ignore(pattern=pattern):
                theirs |= _matched(pattern, before, tensors)
            case Initial(pattern=pattern):
                ours |= _matched(pattern, behind, weights)
            case _:
                raise TypeError(f"a mapping has no line of the kind {type(line).__name__}")
    return theirs, ours


def _matched(patterns: Patterns, prefix: str, names: Iterable[str]) -> set[str]:
    known = list(names)
    return {name for pattern in patterns.behind(prefix).each for name in known if pattern.match(name) is not None}


def _require_shapes(alike: Iterable[str], tensors: Mapping[str, Stored], weights: Mapping[str, Weight]) -> None:
    """Refuses tensors that have another shape now: whether they start anew is for a person to say."""
    wrong = [name for name in alike if tensors[name].shape != tuple(map(int, weights[name].shape))]
    if wrong:
        notes = tuple(
            f"`{name}` was {told(tensors[name].shape)}, and is {told(tuple(map(int, weights[name].shape)))}"
            for name in wrong[:8]
        )
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        help = f"a map can let it start as the spec says: initial {wrong[0]}"
        raise Refusal(CannotMigrate(f"the shape has changed of `{wrong[0]}`{more}", None, notes=notes, help=help))


def _lines(texts: Iterable[str]) -> Iterator[Line]:
    """Lines of a mapping as they would be written, each in a source of its own."""
    for text in texts:
        source = Source("the spec", text)
        span = Span(source, 0, len(text))
        words = text.split(" ")
        last = read_pattern(Span(source, len(text) - len(words[-1]), len(text)))
        match words:
            case ["initial", _]:
                yield Initial(False, span, None, None, last)
            case ["ignore", _]:
                yield Ignore(False, span, None, None, last)
            case _:
                first = read_pattern(Span(source, 0, len(words[0])))
                yield Rule(False, span, None, None, first, (), last, equal=False)


def _few(names: Iterable[str]) -> str:
    known = list(names)
    return ", ".join(known[:5]) + (", …" if len(known) > 5 else "")
