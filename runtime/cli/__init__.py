"""The command line: `dlc COMMAND`, a file a command, each imported when it is called."""

from __future__ import annotations

import gc
import os
import sys

# OpenMP's threads spin for a while before they sleep. Beside other work that costs a training several times its own
# time, and without it nothing is lost; libgomp reads this once, when PyTorch is imported.
SPINS = {"GOMP_SPINCOUNT": "2000"}


def main() -> None:
    """The `dlc` script. Exits with 0, with 1 for a wrong spec or a failed check, with 2 for wrong usage."""
    for name, value in SPINS.items():
        os.environ.setdefault(name, value)
    gc.disable()  # a short command ends before its garbage matters; one that takes long turns it on again
    from dlc.runtime.cli.group import commands

    try:
        commands.main(prog_name="dlc")
    except Exception as error:
        sys.excepthook(type(error), error, error.__traceback__)
        print("\nThis is a mistake in dlc, not in your spec. Please report it with the lines above.", file=sys.stderr)
        sys.exit(70)
