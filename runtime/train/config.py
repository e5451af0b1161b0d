"""What a run was started with, as `config.json` keeps it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dlc.grammar.diagnostics import Refusal
from dlc.runtime.errors import AnotherSpec, BrokenRun, NotARun
from dlc.runtime.train.checkpoint import BrokenCheckpointError, read_record

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Config:
    """What a run was started with.

    train: the name of the `train` block. overrides: as given by `--set`. epochs: in place of the settings' own.
    files: for each file of the spec, by its place in the run, the hash of its text. data_folder: where relative paths
    of the data start. threads: of PyTorch, and processes, which results depend on in their last bits. data: what was
    read when the training began: a fingerprint, the examples of each part, and the statistics that were fitted.
    forced: what was changed in a training under way, in the order in which it was. plan: how its steps are run.
    """

    train: str
    overrides: Mapping[str, str]
    seed: int
    epochs: int | None
    files: Mapping[str, str]
    data_folder: str
    threads: int | None = None
    processes: int | None = None
    data: Mapping[str, Any] | None = None
    forced: Sequence[str] = ()
    plan: Mapping[str, Any] | None = None

    @property
    def fingerprint(self) -> str:
        """A hash of all that a checkpoint must agree with."""
        told = json.dumps([self.train, dict(self.overrides), dict(self.files)], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()

    def document(self) -> dict[str, Any]:
        """What `config.json` says."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"format": _FORMAT, "dlc": version("dlc"), **own, "fingerprint": self.fingerprint}


def read_config(path: Path) -> Config:
    """What a run was started with. Raises Refusal where the file is damaged, or says something else than it did."""
    try:
        document = read_record(path)
        if document["format"] != _FORMAT:
            written = document["format"]
            raise Refusal(NotARun(f"{path.parent} was written by another version of dlc: format {written}", None))
        known = [field.name for field in fields(Config) if field.default is MISSING or field.name in document]
        config = Config(**{name: document[name] for name in known})
        kept = config.fingerprint == document["fingerprint"]
    except (BrokenCheckpointError, KeyError, TypeError, ValueError) as error:
        raise Refusal(BrokenRun(f"{path} is damaged", None, notes=(str(error),))) from error
    if not kept:
        raise Refusal(AnotherSpec(f"{path} has been changed, and the run's weights belong to what it said", None))
    return config
