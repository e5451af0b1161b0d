"""Proving that a training can be gone on with: the same run once more, killed at a random step, and resumed.

Called as a module it is the process that dies: `python -m dlc.runtime.train.rehearsal RUN SAVE KILL [DEVICE]`.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlc.grammar.diagnostics import Refusal
from dlc.runtime.errors import NotResumable
from dlc.runtime.train.checkpoint import MODEL, RECORD, STATE, read_tensors
from dlc.runtime.train.loop import EpochEnded, Stepped
from dlc.runtime.train.run import METRICS, Run
from dlc.runtime.train.trainer import train

_TIMES = ("seconds",)  # of a checkpoint's record, what two trainings do not share


@dataclass(frozen=True, slots=True)
class Proof:
    """That two trainings ended alike, one of which was killed.

    saved: the step of the checkpoint that the second process went on from. killed: the step behind which the first
    died. hashes: by file, SHA-256, the same of both runs.
    """

    saved: int
    killed: int
    steps: int
    hashes: dict[str, str]

    def document(self) -> dict[str, object]:
        """As JSON holds it."""
        return {"saved": self.saved, "killed": self.killed, "steps": self.steps, "sha256": self.hashes}

    def lines(self) -> list[str]:
        """As a person reads it."""
        width = max(map(len, self.hashes))
        return [
            f"killed after step {self.killed} of {self.steps}, resumed from the checkpoint of step {self.saved}:"
            " the same to the last bit",
            *(f"  {name.ljust(width)}  sha256 {value}" for name, value in self.hashes.items()),
        ]


def rehearse(run: Run, *, device: str | None = None, chance: random.Random | None = None) -> Proof:
    """Trains a finished run once more in a folder that is thrown away, killed at a random step and resumed in another
    process. Raises Refusal where it does not end as the run did.

    chance: draws the steps.
    """
    steps = int(_record(run.folder)["position"]["step"])
    chance = chance or random.SystemRandom()
    saved = chance.randint(1, max(1, steps - 1))
    killed = chance.randint(saved, max(saved, steps - 1))
    with tempfile.TemporaryDirectory(prefix=f".{run.folder.name}-again-", dir=run.folder.parent) as folder:
        again = Path(folder) / "run"
        _copy(run, again)
        given = [str(again), str(saved), str(killed), *([device] if device else [])]
        first = _process(given)
        if first.returncode != -signal.SIGKILL:
            raise Refusal(_failed("the process that was to be killed ended by itself", first))
        saved = int(_record(again)["position"]["step"])  # or a later one, by the interval of the settings
        second = _process([str(again), "0", "0", *([device] if device else [])])
        if second.returncode:
            raise Refusal(_failed("the training could not be gone on with", second))
        ours, theirs = hashes(run.folder), hashes(again)
        if ours != theirs:
            different = [name for name in ours if ours[name] != theirs[name]]
            message = f"resumed from step {saved}, the training ended otherwise than without a stop"
            notes = (f"they differ in {', '.join(different)}", *_first_difference(run.folder, again, different))
            raise Refusal(NotResumable(message, run.spec.span, notes=notes))
    return Proof(saved, killed, steps, ours)


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of all that a training ends with, but for how long it took."""
    record = {name: value for name, value in _record(folder).items() if name not in _TIMES}
    contents = {
        MODEL: (folder / MODEL).read_bytes(),
        STATE: (folder / STATE).read_bytes(),
        RECORD: json.dumps(record, sort_keys=True).encode(),
        METRICS: (folder / METRICS).read_bytes(),
    }
    return {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}


def _record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / RECORD).read_bytes())


def _copy(run: Run, folder: Path) -> None:
    """A run as it was when it began: the spec and how it was started, no checkpoint and no metrics."""
    trained = {MODEL, STATE, RECORD, METRICS, "checkpoints", "report.html"}

    def ignored(place: str, names: list[str]) -> set[str]:
        of_run = Path(place) == run.folder
        return {n for n in names if of_run and (n in trained or n.startswith("events.out."))}

    shutil.copytree(run.folder, folder, ignore=ignored)


def _process(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dlc.runtime.train.rehearsal", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _failed(message: str, process: subprocess.CompletedProcess[str]) -> NotResumable:
    return NotResumable(message, None, notes=tuple(process.stderr.strip().splitlines()[-3:]))


def _first_difference(ours: Path, theirs: Path, names: Sequence[str]) -> tuple[str, ...]:
    """The first tensor in which two files of tensors differ, and by how much."""
    for name in (name for name in (MODEL, STATE) if name in names):
        left, right = read_tensors(ours / name), read_tensors(theirs / name)
        for path in sorted(left.keys() | right.keys()):
            if path not in left or path not in right:
                return (f"only one of them has `{path}`",)
            if not left[path].equal(right[path]):
                distance = (left[path].double() - right[path].double()).abs().max()
                return (f"`{path}` differs by up to {float(distance):.3g}",)
    return ()


def _dying(saved: int, killed: int) -> Callable[[Stepped | EpochEnded, Callable[[], None]], None]:
    def watch(event: Stepped | EpochEnded, save: Callable[[], None]) -> None:
        if isinstance(event, Stepped) and event.position.step == saved:
            save()
        if isinstance(event, Stepped) and event.position.step == killed:
            os.kill(os.getpid(), signal.SIGKILL)

    return watch


def main(folder: str, saved: str, killed: str, device: str | None = None) -> None:
    """Trains a run, dies behind a step, or, where that is 0, goes on to the end."""
    run = Run.open(folder)
    watcher = _dying(int(saved), int(killed)) if int(killed) else None
    train(run.spec, run.program, run, quiet=True, device=device, resume=watcher is None, watcher=watcher, report=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
