"""Processes that train together on this machine, from their start to the end of the last one.

PyTorch's own torchrun does the same for several machines. It tells of a failure by a table of its own; here whoever
called sees the error of the process that failed, as that process tells it, and nothing of those that failed with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

from dlc.grammar.diagnostics import Refusal
from dlc.runtime.errors import ProcessDied

LOST = 75
"""The exit code of a process that ends because another one has gone."""

INTERRUPTED = 130
"""The exit code of processes that were asked to stop, which all of them do between the same two steps."""

STORE, LAUNCHER = "DLC_STORE", "DLC_LAUNCHER"
"""The environment variables with the file over which the processes find each other, and with the process that started
them."""

_LOOK = 0.02  # seconds
_GRACE = 5.0  # seconds in which the others end by themselves, once one of them has


@dataclass(slots=True)
class _Process:
    rank: int
    popen: subprocess.Popen[bytes]
    said: IO[bytes]  # what it wrote to stderr
    code: int | None = None


def launch(command: Sequence[str], devices: int) -> int:
    """Runs a command in so many processes, each of which is told its number, and gives their exit code.

    Output is that of the first. Raises Refusal where one of them came to an end before its time.
    """
    with tempfile.TemporaryDirectory(prefix="dlc-") as folder:
        started = [_start(command, rank, devices, Path(folder)) for rank in range(devices)]
        try:
            with _handing_on(started):
                return _watch(started)
        finally:
            _end(started)
            for process in started:
                process.said.close()


@contextmanager
def _handing_on(processes: Sequence[_Process]) -> Generator[None, None, None]:
    """Ctrl-C and requests to end go to the processes, which end in good order."""

    def hand_on(number: int, frame: FrameType | None) -> None:
        for process in processes:
            process.popen.send_signal(number)

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(command: Sequence[str], rank: int, devices: int, folder: Path) -> _Process:
    said = open(folder / f"stderr.{rank}", "w+b")  # noqa: SIM115 (closed by launch)
    own: Mapping[str, str] = {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(devices),
        "LOCAL_WORLD_SIZE": str(devices),
        STORE: str(folder / "store"),
    }
    environment = {**os.environ, **own, LAUNCHER: str(os.getpid())}
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // devices)))
    if sys.platform == "linux":
        environment.setdefault("GLOO_SOCKET_IFNAME", "lo")  # all are on this machine
    out = None if rank == 0 else subprocess.DEVNULL
    popen = subprocess.Popen(command, env=environment, stdout=out, stderr=said, start_new_session=True)
    return _Process(rank, popen, said)


def _watch(processes: Sequence[_Process]) -> int:
    """Waits for all to end, or for one to fail."""
    shown = 0
    while True:
        for process in processes:
            process.code = process.popen.poll()
        shown = _show(processes[0], shown)
        ended = [process for process in processes if process.code is not None]
        if any(process.code not in (0, INTERRUPTED) for process in ended):
            _end(processes)
            _show(processes[0], shown)
            return _told(processes)
        if len(ended) == len(processes):
            return processes[0].code or 0
        time.sleep(_LOOK)


def _show(process: _Process, shown: int) -> int:
    """Hands on what the first process says of what stops nothing, as it comes."""
    process.said.flush()
    text = os.pread(process.said.fileno(), 2**20, shown)
    sys.stderr.write(text.decode(errors="replace"))
    sys.stderr.flush()
    return shown + len(text)


def _end(processes: Sequence[_Process]) -> None:
    """Waits a little for those that are left, and ends them."""
    until = time.monotonic() + _GRACE
    for process in processes:
        try:
            process.code = process.popen.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.popen.kill()
            process.popen.wait()


def _told(processes: Sequence[_Process]) -> int:
    """The error of the process that failed, if it has not been told yet."""
    failed = [process for process in processes if process.code not in (0, LOST, None)]
    killed = [process for process in failed if (process.code or 0) < 0]
    first = (killed or failed or list(processes))[0]
    code = first.code or 0
    if code > 0 and first.rank == 0:
        return code
    ended = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with the code {code}"
    if first.rank:
        first.said.seek(0)
        sys.stderr.write(first.said.read().decode(errors="replace"))
    raise Refusal(
        ProcessDied(
            f"process {first.rank} of {len(processes)} {ended}, and so the training has ended",
            None,
            help="--resume goes on from the last checkpoint",
        )
    )
