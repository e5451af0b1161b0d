"""A new run of a changed spec, with the weights of another: its training starts at the first step with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dlc.compiler.program import Program, TrainSpec
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.data.load import load_data
from dlc.runtime.errors import RunExists
from dlc.runtime.files import replace_file
from dlc.runtime.mapping.match import Gift
from dlc.runtime.mapping.step import apply
from dlc.runtime.mapping.tensors import TensorFile
from dlc.runtime.migrate.plan import Plan, plan
from dlc.runtime.train.checkpoint import Checkpoint
from dlc.runtime.train.loop import Loop
from dlc.runtime.train.making import make_task
from dlc.runtime.train.run import Run, data_folder, weights_file
from dlc.runtime.train.weights import weights_of

RECORD = "migration.json"


def migrate(
    run: Run, program: Program, spec: TrainSpec, folder: Path, overrides: Mapping[str, str], mapping: str | None
) -> Plan:
    """Writes the new run, and gives what became of each tensor. Raises Refusal, before anything is written.

    Its optimiser, schedule and position in the data are those of a training that has taken no step.
    """
    if (folder / "config.json").exists():
        raise Refusal(RunExists(f"{folder} holds a run already", None, help="name another folder"))
    file = TensorFile(weights_file(run))
    found = plan(file, spec, mapping)
    data = load_data(spec.data, data_folder(spec.data), spec.settings.seed)
    task = make_task(spec, data, torch.device("cpu"))
    due = weights_of(spec, task.instances)
    with torch.no_grad():
        for gift in found.gifts:
            for path, values in _given(gift, file, due).items():
                due[path].copy_(torch.as_tensor(values))
    loop = Loop(task, spec.settings)
    new = Run.create(folder, program, spec, overrides)
    record = {**loop.record(), "metrics": 0, "seconds": 0.0, "fingerprint": new.config.fingerprint}
    with new.locked(), new.writing():
        new.checkpoints.save(Checkpoint(due, loop.tensors(), record), spec.settings.checkpoint.keep)
        text = json.dumps(document(found, str(run.folder)), indent=2, ensure_ascii=False)
        replace_file(folder / RECORD, (text + "\n").encode())
    return found


def document(found: Plan, source: str) -> dict[str, Any]:
    """What became of each tensor, as JSON."""
    return {
        "from": source,
        "kept": found.kept,
        "renamed": [{"from": before, "to": after} for before, after in found.renamed],
        "new": list(found.fresh),
        "dropped": list(found.dropped),
    }


def _given(gift: Gift, file: TensorFile, due: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray[Any, Any]]:
    """The values that a line gives to its weights."""
    if gift.rule.equal:
        return {}
    shapes = [tuple(due[path].shape) for path in gift.targets]
    made = apply(gift.rule.steps, [file.read(name) for name in gift.sources], shapes)
    return {
        path: np.array(values).reshape(shape) for path, values, shape in zip(gift.targets, made, shapes, strict=True)
    }
