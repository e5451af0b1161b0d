"""The folder of a run: the spec it was trained from, how, and what came of it. Nothing in it is a pickle.

`spec.dl` and what it imports, `config.json`, `environment.json`, `metrics.jsonl` (a line for each epoch), and what
checkpoints write. `config.json` is written last: a folder is a run from then on.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dlc.compiler.program import DataSpec, Program, TrainSpec
from dlc.grammar.diagnostics import Refusal
from dlc.grammar.source import Source
from dlc.grammar.suggest import nearest
from dlc.runtime.errors import AnotherSpec, BrokenRun, CannotWrite, NotARun, NoWeights, RunExists
from dlc.runtime.files import replace_file
from dlc.runtime.spec import SpecFile, read_spec
from dlc.runtime.train.checkpoint import MODEL, Checkpoints
from dlc.runtime.train.config import Config, read_config
from dlc.runtime.train.folder import LOCK, locked_folder, writing_in
from dlc.runtime.weights import StoredWeights, open_weights

CONFIG, ENVIRONMENT, METRICS = "config.json", "environment.json", "metrics.jsonl"
_PACKAGES = ("dlc", "torch", "numpy", "safetensors")


class Run:
    """An existing run's folder."""

    def __init__(self, folder: Path, config: Config) -> None:
        self.folder = folder
        self.config = config
        self.checkpoints = Checkpoints(folder)

    # --- making and finding ---

    @staticmethod
    def create(
        folder: str | Path,
        program: Program,
        spec: TrainSpec,
        overrides: Mapping[str, str] | None = None,
        *,
        epochs: int | None = None,
    ) -> Run:
        """A new run in a folder that does not exist yet, or is empty. Raises Refusal."""
        folder = Path(folder)
        files = _files(program)
        if (folder / CONFIG).exists():
            help = "go on with it by --resume, or name another folder"
            raise Refusal(RunExists(f"{folder} holds a run already", None, help=help))
        if folder.exists() and not folder.is_dir():
            raise Refusal(CannotWrite(f"{folder} is a file, and a run is a folder", None))
        left = {LOCK, ENVIRONMENT, *files} | {f".{name}.new" for name in (CONFIG, ENVIRONMENT, *files)}
        # What a process that died while it made a run may have left is no obstacle.
        if folder.is_dir() and any(not _belongs(entry, folder, left) for entry in folder.rglob("*")):
            raise Refusal(RunExists(f"{folder} is not empty, and a run needs a folder of its own", None))
        config = Config(
            spec.name,
            dict(overrides or {}),
            spec.settings.seed,
            epochs,
            {place: _hash(text) for place, text in files.items()},
            str(_main(program).data_folder),
        )
        with writing_in(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with locked_folder(folder), writing_in(folder):
            for place, text in files.items():
                (folder / place).parent.mkdir(parents=True, exist_ok=True)
                replace_file(folder / place, text.encode())
            _write_json(folder / CONFIG, config.document())
        return Run(folder, config)

    @staticmethod
    def open(folder: str | Path) -> Run:
        """The run in a folder. Raises Refusal where there is none."""
        folder = Path(folder)
        if folder.is_file():
            told = f"`dlc train {folder}` writes a run" if folder.suffix == ".dl" else None
            raise Refusal(NotARun(f"{folder} is a file, and a run is a folder", None, help=told))
        if not folder.is_dir():
            near = nearest(folder.name, _runs(folder.parent))
            told = f"did you mean `{folder.with_name(near)}`?" if near else None
            raise Refusal(NotARun(f"there is no folder {folder}", None, help=told))
        if not (folder / CONFIG).is_file():
            raise Refusal(NotARun(f"{folder} is not a run: it has no {CONFIG}", None, help="`dlc train` writes a run"))
        return Run(folder, read_config(folder / CONFIG))

    def differences(self, program: Program, spec: TrainSpec, overrides: Mapping[str, str]) -> tuple[str, ...]:
        """What is no longer as it was when this run was started: which train block, which files, which overrides."""
        files = {place: _hash(text) for place, text in _files(program).items()}
        notes: list[str] = []
        if spec.name != self.config.train:
            notes.append(f"the run trains {self.config.train}, and this is {spec.name}")
        changed = [place for place, hash in self.config.files.items() if files.get(place, hash) != hash]
        changed += sorted(files.keys() ^ self.config.files.keys())
        if changed:
            notes.append(f"changed since: {', '.join(changed)}")
        for name in sorted(overrides.keys() | self.config.overrides.keys()):
            before, now = self.config.overrides.get(name), overrides.get(name)
            if before != now:
                notes.append(f"--set {name}: {before or 'not given'} in the run, {now or 'not given'} now")
        return tuple(notes)

    def check(self, program: Program, spec: TrainSpec, overrides: Mapping[str, str]) -> None:
        """Refuses a spec that is not the one that this run was started from."""
        notes = self.differences(program, spec, overrides)
        if notes:
            message = f"{self.folder} was trained from another spec"
            own = self.folder / "spec.dl"
            help = f"the run keeps its own: {own}; --force goes on with this one, if the weights fit"
            raise Refusal(AnotherSpec(message, None, notes=notes, help=help))

    # --- the spec ---

    @cached_property
    def program(self) -> Program:
        """The run's own spec, checked. Raises Refusal."""
        for place, hash in self.config.files.items():
            path = self.folder / place
            if not path.is_file() or _hash(path.read_bytes().decode("utf-8-sig")) != hash:
                what = "has been changed" if path.is_file() else "is missing"
                raise Refusal(AnotherSpec(f"{path} {what}, and the run's weights belong to the text it had", None))
        program, sink = read_spec(
            self.folder / "spec.dl",
            self.config.overrides,
            data_folder=Path(self.config.data_folder),
            library=self.folder,
        )
        if program is None:
            raise Refusal(*sink)
        return program

    @property
    def spec(self) -> TrainSpec:
        """What the run trains. Raises Refusal."""
        trains = self.program.trains
        if self.config.train not in trains:
            raise Refusal(BrokenRun(f"the spec of {self.folder} has no train block {self.config.train}", None))
        return trains[self.config.train]

    # --- writing ---

    @contextmanager
    def locked(self) -> Generator[None, None, None]:
        """Keeps every other process from training in this folder. Raises Refusal where one does."""
        with locked_folder(self.folder):
            yield

    @contextmanager
    def writing(self) -> Generator[None, None, None]:
        """Turns a failure to write into a Refusal that names the file."""
        with writing_in(self.folder):
            yield

    def begin(
        self,
        threads: int,
        processes: int,
        device: str,
        data: Mapping[str, Any],
        plan: Mapping[str, Any] | None,
        forced: Sequence[str],
    ) -> None:
        """Notes where a training takes place, with how many threads and processes, what its data is, and by which plan.

        forced: what was changed in a training under way, by whoever asked for it.
        """
        told = (*self.config.forced, *forced)
        self.config = replace(
            self.config, threads=threads, processes=processes, data=dict(data), plan=plan, forced=told
        )
        with writing_in(self.folder):
            _write_json(self.folder / CONFIG, self.config.document())
            _write_json(self.folder / ENVIRONMENT, _environment(threads, device))

    def adopt(self, program: Program, spec: TrainSpec, overrides: Mapping[str, str]) -> None:
        """Makes another spec that of the run. Where this is cut short, doing it again is the cure."""
        files = _files(program)
        self.config = replace(
            self.config,
            train=spec.name,
            overrides=dict(overrides),
            seed=spec.settings.seed,
            files={place: _hash(text) for place, text in files.items()},
            data_folder=str(_main(program).data_folder),
        )
        with writing_in(self.folder):
            for place, text in files.items():
                (self.folder / place).parent.mkdir(parents=True, exist_ok=True)
                replace_file(self.folder / place, text.encode())
            _write_json(self.folder / CONFIG, self.config.document())
        self.__dict__.pop("program", None)  # which was read from the files before

    def extend(self, epochs: int) -> None:
        """Sets how many epochs the run takes in all."""
        self.config = replace(self.config, epochs=epochs)
        with writing_in(self.folder):
            _write_json(self.folder / CONFIG, self.config.document())

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of `metrics.jsonl`: for each epoch its step, learning rate and the means of each part."""
        path = self.folder / METRICS
        if not path.is_file():
            return []
        try:
            return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        except ValueError as error:
            raise Refusal(BrokenRun(f"{path} is damaged: {error}", None)) from error


def weights_of_run(run: Run, instance: str) -> StoredWeights:
    """The weights of an instance by their paths, as the last checkpoint has them; PyTorch is not imported.

    Raises Refusal where there are none yet.
    """
    path = weights_file(run)
    try:
        stored = open_weights(path)
    except (OSError, ValueError) as error:
        raise Refusal(BrokenRun(f"{path} cannot be read: {error}", None)) from error
    prefix = run.spec.weight_prefix(instance)
    kept = {name.removeprefix(prefix): entry for name, entry in stored.entries.items() if name.startswith(prefix)}
    return StoredWeights(kept)


def weights_file(run: Run) -> Path:
    """The file with the run's weights. Raises Refusal where there is none yet."""
    path = run.folder / MODEL
    if not path.is_file():
        if run.checkpoints.last() is None:
            help = "go on with the training by --resume"
            raise Refusal(NoWeights(f"{run.folder} has no weights yet: no checkpoint was reached", None, help=help))
        raise Refusal(BrokenRun(f"{path} is missing", None))
    return path


def data_folder(spec: DataSpec) -> Path:
    """Where relative paths of a `data` block start: the folder of the file that declares it."""
    source = spec.source.span.source
    assert isinstance(source, SpecFile)
    return source.data_folder


# --- its parts --------------------------------------------------------------------------------------------------


def _runs(folder: Path) -> list[str]:
    return [entry.parent.name for entry in folder.glob(f"*/{CONFIG}")]


def _belongs(entry: Path, folder: Path, names: set[str]) -> bool:
    place = entry.relative_to(folder).as_posix()
    return place in names or any(name.startswith(f"{place}/") for name in names) or entry.name in names


def _main(program: Program) -> SpecFile:
    source = program.sources[0]
    assert isinstance(source, SpecFile)
    return source


def _files(program: Program) -> dict[str, str]:
    """The text of each file of a spec by its place in a run. Raises Refusal where two would have the same."""
    files: dict[str, str] = {}
    sources: Sequence[Source] = program.sources
    for source in sources:
        assert isinstance(source, SpecFile)
        if source.place in files:
            raise Refusal(
                CannotWrite(
                    f"the spec imports a file called {source.place}, which is what a run calls the spec itself",
                    None,
                    help="rename the imported file",
                )
            )
        files[source.place] = source.text
    return files


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    replace_file(path, (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode())


def _environment(threads: int, device: str) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.machine(),
        "cpus": os.cpu_count(),
        "threads": threads,
        "device": device,
        "packages": {name: version(name) for name in _PACKAGES},
    }
