"""The folder of a run, as several processes and a full disk meet in it."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from dlc.grammar.diagnostics import Refusal
from dlc.runtime.errors import CannotWrite, RunLocked

LOCK = "lock"


@contextmanager
def writing_in(folder: Path) -> Generator[None, None, None]:
    """Turns a failure to write into a Refusal that names the file."""
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        reason = (error.strerror or str(error)).lower()
        raise Refusal(CannotWrite(f"{where} cannot be written: {reason}", None)) from error


@contextmanager
def locked_folder(folder: Path) -> Generator[None, None, None]:
    """Holds the folder's lock, which ends with the process however it ends."""
    with writing_in(folder):
        file = open(folder / LOCK, "a")  # noqa: SIM115 (closed below, when the lock ends)
    with file:
        if not _lock(file):
            raise Refusal(RunLocked(f"another process is training in {folder}", None))
        yield


def _lock(file: IO[str]) -> bool:
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
