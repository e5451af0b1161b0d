"""What a command runs: an exported model, or a model that is exported from a run for as long as it is needed."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dlc.runtime.infer.session import Session


@dataclass(frozen=True, slots=True)
class Opened:
    """A session, and of a run the sizes that its open dimensions had in training, by name."""

    session: Session
    sizes: Mapping[str, int]


@contextmanager
def opened(place: str, name: str | None = None, **options: Any) -> Generator[Opened]:
    """The session of a model's file, or of a run's instance. options: as `Session` takes them.

    What was exported here and now is trusted, and run in this process. Raises Refusal.
    """
    if not Path(place).is_dir():
        with Session(place, **options) as session:
            yield Opened(session, {})
        return
    from dlc.compiler.generality import binding
    from dlc.compiler.graph import BlockModule
    from dlc.compiler.onnx.emit import save_model
    from dlc.runtime.build import onnx_model
    from dlc.runtime.train.run import Run
    from dlc.runtime.trained import trained_model

    run = Run.open(place)
    trained = trained_model(run, name)
    module = run.spec.instances[trained.instance]
    assert isinstance(module, BlockModule)
    known = binding(trained.model.graph, module.graph) or {}
    sizes = {
        (symbol.whole or symbol).name: number * symbol.share
        for symbol, size in known.items()
        if (number := size.constant) is not None
    }
    with TemporaryDirectory(prefix="dlc-") as folder:
        path = Path(folder) / "model.onnx"
        save_model(onnx_model(trained.model, trained.weights), path)
        own: dict[str, Any] = {**options, "trusted": True, "prepared": False}
        with Session(path, **own) as session:
            yield Opened(session, sizes)
