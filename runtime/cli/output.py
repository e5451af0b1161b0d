"""What commands print: results on stdout, errors on stderr, colours on a terminal alone."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import click

from dlc.grammar.diagnostics import Diagnostic, Refusal
from dlc.grammar.render import render_text


def colours(stream: TextIO) -> bool:
    """Whether text on a stream may be coloured: on a terminal, unless `NO_COLOR` is set or the terminal is dumb."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def report(diagnostics: Iterable[Diagnostic]) -> None:
    """Prints diagnostics on stderr."""
    click.echo(render_text(diagnostics, color=colours(sys.stderr)), err=True, color=True, nl=False)


def write_json(document: Any) -> None:
    """Prints a document on stdout."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


def write_text(text: str, output: str | None) -> None:
    """Writes text to a file, or on stdout where none is given."""
    if output is None:
        click.echo(text, nl=not text.endswith("\n"))
    else:
        write_bytes(text.encode(), output)


def write_bytes(data: bytes, output: str) -> None:
    """Writes a file beside its place and renames it, so that a crash leaves the last good one. Raises Refusal."""
    from dlc.runtime.files import replace_file

    with refusing_to_write(output):
        replace_file(Path(output), data)


@contextmanager
def refusing_to_write(output: str) -> Generator[None]:
    """Tells a failure to write `output` as a diagnostic."""
    from dlc.runtime.errors import CannotWrite

    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise Refusal(CannotWrite(f"{output} cannot be written: {reason}", None)) from error
