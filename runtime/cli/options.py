"""Arguments that several commands share: `FILE:NAME`, `--set name=value`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from dlc.grammar.suggest import nearest

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Selection:
    """A spec's path, and the name of a declaration in it, where one was given."""

    path: str
    name: str | None


class SelectionType(click.ParamType[Selection]):
    """`FILE` or `FILE:NAME`. A colon belongs to the path where no name follows it, as in `C:\\specs\\gpt.dl`."""

    name = "FILE[:NAME]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Selection:
        path, colon, name = str(value).rpartition(":")
        if colon and path and name.isidentifier() and not os.path.exists(value):
            return Selection(path, name)
        if colon and not name and path:
            self.fail(f"{value}: a name is due behind the colon", param, ctx)
        return Selection(str(value), None)


SELECTION = SelectionType()


class Pair(click.ParamType[tuple[str, str]]):
    """`NAME=VALUE`"""

    name = "NAME=VALUE"

    def __init__(self, example: str) -> None:
        self._example = example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        name, equal, given = str(value).partition("=")
        if not equal or not name.strip() or not given.strip():
            self.fail(f"{value}: a name, an equal sign and a value are due, as in {self._example}", param, ctx)
        return name.strip(), given.strip()


def _collected(ctx: click.Context, param: click.Parameter, pairs: tuple[tuple[str, str], ...]) -> dict[str, str]:
    return dict(pairs)


def overrides_option(command: Command) -> Command:
    """`--set name=value`, any number of times, as the parameter `overrides`: the last of one name counts."""
    return click.option(
        "--set",
        "overrides",
        type=Pair(example="width=64"),
        multiple=True,
        callback=_collected,
        help="Override a `let`, a parameter, a dimension or a setting; may be given several times.",
    )(command)


def json_option(what: str) -> Callable[[Command], Command]:
    """`--json`, as the parameter `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help=what)


def choose(declared: Mapping[str, T], selection: Selection, kind: str) -> T:
    """The declaration that was selected, or the only one. UsageError where there is none, or no single one."""
    if selection.name is None:
        if len(declared) == 1:
            return next(iter(declared.values()))
        if not declared:
            raise click.UsageError(f"{selection.path} declares no {kind}")
        first = next(iter(declared))
        raise click.UsageError(
            f"{selection.path} declares several: {', '.join(declared)}; say which, as in {selection.path}:{first}"
        )
    if selection.name not in declared:
        raise click.UsageError(missing(selection.name, declared, selection.path, kind))
    return declared[selection.name]


def missing(name: str, declared: Iterable[str], path: str, kind: str) -> str:
    """What to say about a name that is not declared, with the nearest that is."""
    names = list(declared)
    near = nearest(name, names)
    hint = f"; did you mean `{near}`?" if near else f"; it declares {', '.join(names)}" if names else ""
    return f"{path} declares no {kind} `{name}`{hint}"
