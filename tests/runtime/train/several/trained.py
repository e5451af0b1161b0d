"""Trains all specs of a folder, alone or as one of several processes, and writes what each step and epoch gave.

Called as `trained.py FOLDER DTYPE OUT`; RANK and WORLD_SIZE in the environment tell of a team.
"""

import json
import os
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from dlc.runtime.data.examples import Held
from dlc.runtime.data.load import load_data
from dlc.runtime.spec import read_checked
from dlc.runtime.train.loop import EpochEnded, Loop
from dlc.runtime.train.making import make_task
from dlc.runtime.train.several.team import joined_team, leave
from dlc.runtime.train.team import ALONE, Team


def trained(spec: Path, team: Team, dtype: torch.dtype) -> dict[str, Any]:
    """The losses of the steps, the measures of the epochs, and a number for each weight."""
    chosen = read_checked(spec).trains["Fit"]
    torch.set_default_dtype(torch.float32)  # which data is read in
    data = load_data(chosen.data, spec.parent, chosen.settings.seed)
    torch.set_default_dtype(dtype)
    parts = {
        part: Held({name: field.to(dtype) if field.is_floating_point() else field for name, field in examples.items()})
        for part, examples in data.parts.items()
    }
    task = make_task(chosen, replace(data, parts=parts), torch.device("cpu"), team)
    losses: list[float | None] = []
    epochs: list[Any] = []
    loop = Loop(task, chosen.settings)
    for event in loop.events():
        if isinstance(event, EpochEnded):
            epochs.append({part: dict(means) for part, means in event.parts.items()})
        else:
            losses.append(event.loss)
    with loop.shown():
        weights = {
            f"{name}.{path}": float(value.double().sum())
            for name, module in task.instances.items()
            for path, value in module.state_dict().items()
        }
    return {"losses": losses, "epochs": epochs, "weights": weights, "draw": float(torch.rand(()))}


def threads_of_groups() -> list[str]:
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if "gloo" in name]


def main(folder: str, dtype: str, out: str) -> None:
    torch.set_num_threads(1)
    several = "WORLD_SIZE" in os.environ
    with joined_team(torch.device("cpu")) if several else nullcontext(ALONE) as team:
        found = {path.stem: trained(path, team, getattr(torch, dtype)) for path in sorted(Path(folder).glob("*.dl"))}
        Path(f"{out}.{team.rank}").write_text(json.dumps(found))
    until = time.monotonic() + 10
    while left := threads_of_groups():
        if time.monotonic() > until:
            sys.exit(f"threads outlive the team: {', '.join(left)}")
        time.sleep(0.01)
    leave(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
