"""`dlc explain`: what a code of an error means."""

from __future__ import annotations

from importlib import import_module
from inspect import cleandoc

import click

from dlc.grammar.diagnostics import Diagnostic, kinds
from dlc.grammar.suggest import nearest
from dlc.runtime.cli.options import json_option
from dlc.runtime.cli.output import write_json
from dlc.runtime.show.columns import columns

# Where the kinds of diagnostics are defined: importing a module registers its own.
MODULES = (
    "dlc.grammar.errors",
    "dlc.compiler.errors",
    "dlc.compiler.onnx.errors",
    "dlc.compiler.torch.errors",
    "dlc.runtime.errors",
    "dlc.runtime.infer.errors",
    "dlc.runtime.mapping.errors",
)
_LINES = 24
_COLUMNS = 116


@click.command("explain", short_help="Explain a code of an error.")
@click.argument("code", required=False)
@json_option("Print the explanations as JSON.")
def command(code: str | None, as_json: bool) -> None:
    """Explain a code of an error, with an example that triggers it; without a code, list them all."""
    for module in MODULES:
        import_module(module)
    known = kinds()
    if code is None:
        chosen = list(known.values())
    elif code.upper() in known:
        chosen = [known[code.upper()]]
    else:
        near = nearest(code.upper(), known)
        hint = f"did you mean {near}?" if near else "`dlc explain` lists them all"
        raise click.UsageError(f"there is no code {code}; {hint}")
    if as_json:
        write_json([_document(kind) for kind in chosen])
    elif code is None:
        click.echo("\n".join(columns([(kind.code, _first_sentence(kind)) for kind in chosen])))
    else:
        click.echo(_explanation(chosen[0]))


def _text(kind: type[Diagnostic]) -> str:
    return cleandoc(kind.__doc__ or "")


def _first_sentence(kind: type[Diagnostic]) -> str:
    paragraph = " ".join(_text(kind).split("\n\n")[0].split())
    return paragraph.split(". ")[0].rstrip(".")


def _explanation(kind: type[Diagnostic]) -> str:
    example = [line if len(line) <= _COLUMNS else f"{line[:_COLUMNS]} ..." for line in kind.example.splitlines()]
    if len(example) > _LINES:
        example = [*example[:_LINES], "..."]
    indented = "\n".join(f"    {line}".rstrip() for line in example)
    return f"{kind.code}\n\n{_text(kind)}\n\nFor example:\n\n{indented}"


def _document(kind: type[Diagnostic]) -> dict[str, str]:
    return {"code": kind.code, "explanation": _text(kind), "example": kind.example}
