"""The commands by name, and what becomes of their errors."""

from __future__ import annotations

import gc
from importlib import import_module

import click

from dlc.grammar.diagnostics import Refusal
from dlc.grammar.suggest import nearest

# Listed with their first lines, so that `dlc --help` imports none of them.
COMMANDS = {
    "new": "Start a small project: a spec, its data, a README.",
    "check": "Parse and check specs.",
    "show": "Summarise models: layers, shapes, weights, costs.",
    "compile": "Write what a stage of the compiler made of a spec.",
    "train": "Train, and write a run.",
    "eval": "Measure a run on a part of its data.",
    "export": "Write a trained model as ONNX.",
    "run": "Run a model on inputs in onnxruntime.",
    "fit": "Find the largest batch, or other dimension, that fits into a memory.",
    "diff": "Tell what changed between two specs or runs.",
    "migrate": "Carry the weights of a run to a changed spec.",
    "bench": "Measure how long a model takes in onnxruntime.",
    "call": "Run a procedure of a run, such as sampling.",
    "fmt": "Lay specs out in the canonical way.",
    "ops": "Document the operations.",
    "explain": "Explain a code of an error.",
}
_LONG = {"train", "eval", "export", "run", "bench", "call"}


class Commands(click.Group):
    """Imports a command when it is called. A command returns its exit code, or none for 0."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        if cmd_name in _LONG:
            gc.enable()
        return import_module(f"dlc.runtime.cli.{cmd_name}").command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            near = nearest(name, COMMANDS)
            raise click.UsageError(f"there is no command `{name}`" + (f"; did you mean `{near}`?" if near else ""), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> None:
        try:
            code: int | None = super().invoke(ctx)
        except Refusal as refusal:
            from dlc.runtime.cli.output import report

            report(refusal.diagnostics)
            code = 1
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            code = 130
        ctx.exit(code or 0)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="dlc")
def commands() -> None:
    """A compiler for deep-learning specs: check, train, export and run what a .dl file describes."""
