"""Training from Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.grammar.suggest import nearest
from dlc.spec import spelled

if TYPE_CHECKING:
    from dlc.compiler.program import Program, TrainSpec
    from dlc.runtime.train.trainer import Result


def train(
    path: str | Path,
    name: str | None = None,
    *,
    output: str | Path,
    resume: bool = False,
    epochs: int | None = None,
    device: str | None = None,
    quiet: bool = True,
    **overrides: Any,
) -> Result:
    """Trains a spec and writes a run, as `dlc train` does.

    name: of the `train` block, where there are several. output: the run's folder. epochs: how many in all, in place of
    what the settings say. overrides: as `dlc.load` takes them. Raises Refusal.
    """
    from dlc.runtime.train.start import start
    from dlc.runtime.train.trainer import train

    program, spec, run = start(
        path,
        lambda program: _chosen(program, name, path),
        Path(output),
        spelled(overrides),
        resume=resume,
        epochs=epochs,
    )
    return train(spec, program, run, epochs=epochs, resume=resume, quiet=quiet, device=device)


def _chosen(program: Program, name: str | None, path: str | Path) -> TrainSpec:
    trains = program.trains
    if name is None and len(trains) == 1:
        return next(iter(trains.values()))
    if name is None:
        raise ValueError(f"{path} declares {len(trains)} train blocks: {', '.join(trains) or 'none'}; name one")
    if name not in trains:
        near = nearest(name, trains)
        raise KeyError(f"{path} declares no train block {name}" + (f"; did you mean {near}?" if near else ""))
    return trains[name]
