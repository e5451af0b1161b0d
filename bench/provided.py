"""Our file in another build of onnxruntime, with OpenVINO's provider, which its own package lacks.

Two builds cannot be in one environment: `make .venv-openvino/.ready` makes one with `onnxruntime-openvino` and `dlc`,
whose Python runs this module as a program: it opens the model, tunes it for the arrays, and measures when it is told.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv-openvino/bin/python"
PROVIDER = "OpenVINO"


class Provided:
    """A contender like `timing.Child`, in the other environment."""

    def __init__(self, path: Path, arrays: Mapping[str, np.ndarray[Any, Any]], threads: int | None) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._place = Path(self._folder.name)
        np.savez(self._place / "in.npz", **dict(arrays))
        command = [PYTHON, "-m", "bench.provided", path, self._place, json.dumps(threads)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()  # once it is tuned

    def result(self) -> list[np.ndarray[Any, Any]]:
        """The outputs for the arrays."""
        self._ask("result")
        with np.load(self._place / "out.npz") as found:
            return [*found.values()]

    def turn(self, clock: Callable[[], float] | None = None) -> float:
        """The median seconds of a call."""
        return self._ask("turn")

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._folder.cleanup()

    def _ask(self, request: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{request}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process with {PROVIDER}'s provider ended, with {self._process.wait()}")
        return json.loads(line)


def main(path: str, place: str, threads: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def answer(said: object) -> None:
        answers.write(f"{json.dumps(said)}\n")
        answers.flush()

    from dlc import Session

    with np.load(f"{place}/in.npz") as found:
        arrays = dict(found)
    with Session(path, provider=PROVIDER, trusted=True, threads=json.loads(threads)) as session:
        session.tune(arrays)
        answer(None)
        for request in sys.stdin:
            if request == "result\n":
                np.savez(f"{place}/out.npz", **session.call(arrays))
                answer(None)
            else:
                answer(statistics.median(session.time(arrays, least=1, seconds=0.25, warm=0)))


if __name__ == "__main__":
    main(*sys.argv[1:])
