"""A model in a process of its own, with limits: the parent's side."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.grammar.diagnostics import Diagnostic, Refusal, kinds
from dlc.runtime.infer.engine import Options
from dlc.runtime.infer.errors import LimitReached, ModelCrashed, UnsafeModel
from dlc.runtime.infer.frames import BrokenFrameError, Frame, receive, send
from dlc.runtime.infer.slices import Tuning, Way

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_PIPE = 2**20  # bytes that a pipe holds, where the system lets it
_SLACK = 1.0  # seconds beyond the limit for asking and answering
_START = 5.0  # seconds for the process to begin
_OUT_OF_MEMORY = ("bad_alloc", "bad allocation", "Failed to allocate", "cannot allocate", "out of memory")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a process of its own may take up: memory in bytes, seconds for opening a model and for each call."""

    memory: int = 4 * 2**30
    opening: float = 60.0
    seconds: float = 600.0


class Isolated:
    """A model that is opened, run and timed by a process of its own. Raises Refusal as `Engine` does, and where the
    process reaches a limit or ends; it is started anew for the next model, not for the next call."""

    def __init__(self, path: Path, options: Options, limits: Limits) -> None:
        if os.name != "posix":
            told = f"{path} cannot be opened in a process with limits, which needs a POSIX system"
            raise Refusal(UnsafeModel(told, None, help="if you know where it comes from, trust it"))
        self._path, self._limits = path, limits
        self._stopped, self._closed = "", False
        self._process = _start()
        try:
            frame = self._ask(
                {
                    "do": "open",
                    "path": str(path),
                    "options": options.document(),
                    "memory": limits.memory,
                    "threads_reserve": options.provider.casefold().startswith("cpu"),
                    "seconds": limits.opening,
                },
                {},
                limits.opening + _START,
                "opened",
            )
        except BaseException:
            self.close()
            raise
        self.description: Mapping[str, Any] = frame.document["description"]

    def run(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name, for inputs that fit. Raises Refusal where onnxruntime or the process stops."""
        limit = self._limits.seconds
        return dict(self._ask({"do": "run", "seconds": limit}, arrays, limit, "run").arrays)

    def time(self, arrays: Mapping[str, Array], *, least: int, seconds: float, warm: float) -> list[float]:
        """As `Engine.time`, measured within the process."""
        limit = self._limits.seconds + warm + seconds
        how = {"least": least, "seconds": seconds, "warm": warm}
        return self._ask({"do": "time", "seconds": limit, "how": how}, arrays, limit, "run").document["taken"]

    def tune(self, arrays: Mapping[str, Array], cut: Sequence[str]) -> Tuning:
        """As `Engine.tune`, within the process."""
        limit = self._limits.seconds
        told = self._ask({"do": "tune", "seconds": limit, "cut": [*cut]}, arrays, limit, "tuned").document
        ways: list[list[Any]] = told["ways"]
        return Tuning(tuple(Way(*each) for each in ways), Way(*ways[told["chosen"]]))

    def close(self) -> None:
        """Ends the process; the model cannot be called any more."""
        process, self._closed = self._process, True
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _ask(self, document: Mapping[str, Any], arrays: Mapping[str, Array], seconds: float, doing: str) -> Frame:
        if self._stopped:
            raise Refusal(ModelCrashed(self._stopped, None))
        if self._closed:
            raise ValueError("the session is closed")
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        answers = self._process.stdout.fileno()
        wait = _Deadline(answers, seconds + _SLACK)
        try:
            send(self._process.stdin.fileno(), document, arrays)
            frame = receive(answers, wait, self._limits.memory)
        except _TooLongError:
            raise self._end(f"{self._path} took more than {seconds:g} seconds to be {doing}", LimitReached) from None
        except BrokenFrameError:
            frame = None
        except BaseException:  # an interrupt leaves an answer behind that nobody waits for
            self._stopped = f"{self._path} was interrupted while it was {doing}"
            self.close()
            raise
        if frame is None:
            raise self._ended(doing)
        if "fault" in frame.document:
            raise RuntimeError(f"the process of {self._path} failed:\n{frame.document['fault']}")
        told: list[dict[str, Any]] = frame.document.get("refused", [])
        if frame.document.get("memory") or any(_is_memory(each) for each in told):
            raise Refusal(self._too_large(doing, told))
        if told:
            raise Refusal(*map(_diagnostic, told))
        return frame

    def _ended(self, doing: str) -> Refusal:
        """What to say of a process that ended before it answered."""
        try:
            code = self._process.wait(_SLACK)
        except subprocess.TimeoutExpired:  # it has closed its end, and goes on
            return self._end(f"{self._path} did not answer while it was {doing}", ModelCrashed)
        if code == -signal.SIGXCPU:
            return self._end(f"{self._path} took too much processor time while it was {doing}", LimitReached)
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return self._end(f"{self._path} ended the process that it was {doing} in, by {how}", ModelCrashed)

    def _end(self, message: str, kind: type[Diagnostic]) -> Refusal:
        self._stopped = message
        self.close()
        help = "raise its limit, if you know where the model comes from" if kind is LimitReached else None
        return Refusal(kind(message, None, help=help))

    def _too_large(self, doing: str, told: list[dict[str, Any]]) -> LimitReached:
        limit = f"{self._limits.memory / 2**30:.3g} GiB"
        notes = tuple(note for each in told for note in each["notes"])
        help = "raise the limit, if you know where the model comes from, or give it less at once"
        return LimitReached(f"{self._path} needs more memory than {limit} to be {doing}", None, notes=notes, help=help)


def _start() -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "dlc.runtime.infer.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        start_new_session=True,  # an interrupt is the parent's, who then ends it
    )
    if sys.platform == "linux":
        import fcntl

        for stream in (process.stdin, process.stdout):
            assert stream is not None
            with contextlib.suppress(OSError):
                fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, _PIPE)
    return process


class _TooLongError(Exception):
    """The time for an answer is over."""


class _Deadline:
    """Waits until there is something to read, for so many seconds in all."""

    def __init__(self, stream: int, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._poll = select.poll()
        self._poll.register(stream, select.POLLIN)

    def __call__(self) -> None:
        left = self._until - time.monotonic()
        if left <= 0 or not self._poll.poll(left * 1000):
            raise _TooLongError


def _is_memory(told: Mapping[str, Any]) -> bool:
    return any(words in text for text in (told["message"], *told["notes"]) for words in _OUT_OF_MEMORY)


def _diagnostic(told: Mapping[str, Any]) -> Diagnostic:
    return kinds()[told["code"]](told["message"], None, notes=tuple(told["notes"]), help=told["help"])
