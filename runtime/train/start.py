"""The start of a training: a spec is read, and its run made or found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from dlc.compiler.program import Program, TrainSpec
from dlc.runtime.spec import read_checked
from dlc.runtime.train.run import CONFIG, Run


def start(
    path: str | Path,
    choose: Callable[[Program], TrainSpec],
    folder: Path,
    overrides: Mapping[str, str],
    *,
    resume: bool = False,
    force: bool = False,
    epochs: int | None = None,
) -> tuple[Program, TrainSpec, Run]:
    """What `train` takes: the checked spec, the training chosen from it, and a new run in the folder.

    resume: the run that is there already, if there is one; where no overrides are given, its own hold. force: even if
    it was started from another spec. Raises Refusal.
    """
    run = Run.open(folder) if resume and (folder / CONFIG).is_file() else None
    given = overrides if run is None or overrides else run.config.overrides
    program = read_checked(path, given)
    spec = choose(program)
    if run is None:
        run = Run.create(folder, program, spec, given, epochs=epochs)
    elif not force:
        run.check(program, spec, given)
    return program, spec, run
