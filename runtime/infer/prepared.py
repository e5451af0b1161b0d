"""A model as onnxruntime has optimised it, kept beside the model: it opens several times faster.

onnxruntime's optimiser chooses operators for the processor and packs weights for its kernels. What it made is therefore
used only by the version and on the processor that made it, and of the very file that it was made from; else it is made
anew.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Iterable
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

_MODEL, _WEIGHTS, _STAMP = "model.onnx", "weights", "stamp.json"
_SMALLEST = "1024"  # bytes of a tensor that is kept beside the prepared model
_MOST = 2**20  # bytes of a stamp


def folder_of(path: Path) -> Path:
    """Where the prepared form of a model is kept."""
    return path.with_name(f"{path.name}.prepared")


def stamp(path: Path, beside: Iterable[str], provider: str) -> dict[str, Any]:
    """What a prepared model holds for: onnxruntime, processor, provider, and the files that it was made from."""
    onnxruntime: Any = import_module("onnxruntime")
    files: dict[str, list[int]] = {}
    for name in (path.name, *dict.fromkeys(beside)):
        status = (path.parent / name).stat()
        files[name] = [status.st_size, status.st_mtime_ns]
    return {
        "onnxruntime": [str(onnxruntime.__version__), str(onnxruntime.get_build_info())],
        "processor": _processor(),
        "provider": provider,
        "files": files,
    }


def find(path: Path, due: dict[str, Any]) -> Path | None:
    """The prepared model, if there is one that holds here."""
    folder = folder_of(path)
    try:
        with (folder / _STAMP).open("rb") as file:
            found = json.loads(file.read(_MOST))
    except (OSError, ValueError):
        return None
    return folder / _MODEL if found == due else None


def begin(path: Path, settings: Any) -> Path:
    """Lets a session that is about to be opened write its prepared form, into a folder that `finish` puts in place."""
    made = path.with_name(f".{path.name}.{os.getpid()}.prepared")
    made.mkdir()
    settings.optimized_model_filepath = str((made / _MODEL).resolve())
    for key, value in (
        ("session.optimized_model_external_initializers_file_name", _WEIGHTS),
        ("session.optimized_model_external_initializers_min_size_in_bytes", _SMALLEST),
        ("session.save_external_prepacked_constant_initializers", "1"),
    ):
        settings.add_session_config_entry(key, value)
    return made


def finish(path: Path, made: Path, stamp: dict[str, Any]) -> None:
    """Puts a prepared form in its place. Of two processes that do so at once, one has made it in vain."""
    (made / _STAMP).write_text(json.dumps(stamp))
    folder = folder_of(path)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        os.rename(made, folder)
    except FileExistsError:
        discard(made)
    except OSError:
        discard(made)
        raise


def discard(made: Path) -> None:
    shutil.rmtree(made, ignore_errors=True)


def _processor() -> str:
    """A hash of what this processor is and can do."""
    told = [platform.machine(), platform.processor(), platform.system()]
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            first = file.read().split("\n\n")[0]
        kept = ("vendor_id", "cpu family", "model", "stepping", "flags", "Features", "CPU part")
        told += [line for line in first.splitlines() if line.split(":")[0].strip() in kept]
    return sha256("\n".join(told).encode()).hexdigest()
