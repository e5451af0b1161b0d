"""What a command runs into that a command line alone cannot bring about: by the name of its case."""

import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from unittest.mock import patch

from dlc.runtime.train.run import Run


@contextmanager
def _locked() -> Generator[None]:
    with Run.open("runs/line").locked():
        yield


def _broken() -> AbstractContextManager[None]:
    Path("runs/line/model.safetensors").write_bytes(b"\n")
    return nullcontext()


def _without_weights() -> AbstractContextManager[None]:
    import shutil

    Path("runs/line/model.safetensors").unlink()
    shutil.rmtree("runs/line/checkpoints")
    return nullcontext()


def _another_data() -> AbstractContextManager[None]:
    with Path("specs/points.csv").open("a") as file:
        file.write("8,13,21\n")
    return nullcontext()


def _large() -> AbstractContextManager[None]:
    Path("photos.dl").write_bytes(b"# pixels\n" * 200_000)
    return nullcontext()


def _latin() -> AbstractContextManager[None]:
    Path("latin.dl").write_bytes("# Größe\nlet size = 3\n".encode("latin-1"))
    return nullcontext()


def _without_sklearn() -> AbstractContextManager[object]:
    return patch.dict(sys.modules, {"sklearn": None, "sklearn.datasets": None})


SITUATIONS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "run/locked": _locked,
    "run/broken_weights": _broken,
    "run/no_weights": _without_weights,
    "run/another_data": _another_data,
    "run/too_large": _large,
    "run/not_text": _latin,
    "run/missing_package": _without_sklearn,
}
