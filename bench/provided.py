"""Our file in another build of onnxruntime, with OpenVINO's provider, which its own package lacks.

Two builds cannot be in one environment: `make .venv-openvino/.ready` makes one with `onnxruntime-openvino` and `dlc`,
and the commands of that are run.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

COMMAND = Path(__file__).resolve().parents[1] / ".venv-openvino/bin/dlc"
PROVIDER = "OpenVINO"
_SECONDS = "1"  # of measuring in a turn, after half of one that is not counted


class Provided:
    """A contender like `timing.Child`: a model's file, run by `dlc bench --provider OpenVINO` at each turn.

    sizes: of the symbols, the batch's first.
    """

    def __init__(self, path: Path, arrays: Mapping[str, np.ndarray[Any, Any]], sizes: Mapping[str, int]) -> None:
        self._path, self._arrays, self._sizes = path, arrays, sizes

    def result(self) -> list[np.ndarray[Any, Any]]:
        """The outputs for the arrays."""
        with tempfile.TemporaryDirectory() as folder:
            given = [f"--in={name}={Path(folder) / f'{name}.npy'}" for name in self._arrays]
            for name, array in self._arrays.items():
                np.save(Path(folder) / f"{name}.npy", array)
            self._call("run", *given, "-o", f"{folder}/out.npz")
            with np.load(f"{folder}/out.npz") as found:
                return [*found.values()]

    def turn(self, clock: object = None) -> float:
        """The median seconds of a call."""
        batch, *others = self._sizes.items()
        sizes = [f"--size={name}={size}" for name, size in others]
        told = self._call("bench", f"--batch={batch[1]}", *sizes, f"--for={_SECONDS}", "--json")
        return json.loads(told)[0]["p50"]

    def close(self) -> None:
        """Nothing of it is left between its turns."""

    def _call(self, command: str, *arguments: str) -> str:
        how = ("--provider", PROVIDER, "--trust")
        return subprocess.run(
            [COMMAND, command, self._path, *how, *arguments], check=True, capture_output=True, text=True
        ).stdout
