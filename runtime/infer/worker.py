"""The process that a model is run in which nobody vouches for: `python -m dlc.runtime.infer.worker`.

It reads requests from its standard input and answers on its standard output, and limits itself before it touches the
model: memory, processor time, no files written, no core dumps. Whatever a model does to it, its parent lives.
"""

from __future__ import annotations

import os
import resource
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.grammar.diagnostics import Refusal
from dlc.runtime.infer.frames import BrokenFrameError, Frame, receive, send

if TYPE_CHECKING:
    from dlc.runtime.infer.engine import Engine

_STACKS = 144 * 2**20  # address space that a thread reserves, for its stack and its part of the heap
_SHARED = 2**31  # and that the libraries take up
_REQUEST = 2**40  # bytes of a request's arrays: the parent is believed


def main() -> None:
    """Serves one model until the parent closes its end."""
    answers, requests = os.dup(1), os.dup(0)
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # what native code prints is no answer
        os.dup2(silence, stream)
    engine: Engine | None = None
    try:
        while (frame := receive(requests, _at_once, _REQUEST)) is not None:
            engine = _answer(engine, frame, answers)
    except BrokenFrameError:
        sys.exit(1)  # the parent is gone


def _answer(engine: Engine | None, frame: Frame, answers: int) -> Engine | None:
    """Does what a request asks, and answers: with results, or with the diagnostics of a refusal."""
    asked = frame.document
    try:
        if asked["do"] == "open":
            engine = _open(asked)
            send(answers, {"description": engine.description})
        elif engine is None:
            raise RuntimeError("no model is open")
        else:
            _limit_time(asked["seconds"])
            if asked["do"] == "time":
                send(answers, {"taken": engine.time(frame.arrays, **asked["how"])})
            elif asked["do"] == "tune":
                tuning = engine.tune(frame.arrays, asked["cut"])
                ways = [[way.examples, way.abreast, way.fixed, way.seconds] for way in tuning.ways]
                send(answers, {"ways": ways, "chosen": tuning.ways.index(tuning.chosen)})
            else:
                send(answers, {}, engine.run(frame.arrays))
    except BrokenFrameError:
        raise
    except Refusal as refusal:
        send(answers, {"refused": [_told(each) for each in refusal.diagnostics]})
    except MemoryError:
        send(answers, {"memory": True})
    except Exception:  # a mistake of ours, which the parent tells as one
        send(answers, {"fault": traceback.format_exc()})
    return engine


def _open(asked: Mapping[str, Any]) -> Engine:
    from dlc.runtime.infer.engine import Engine, Options

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not asked["options"]["prepared"]:  # which is written beside the model
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    _limit_memory(asked["memory"], asked["threads_reserve"])
    _limit_time(asked["seconds"])
    return Engine(Path(asked["path"]), Options(**asked["options"]))


def _limit_memory(memory: int, reserve: bool) -> None:
    """Limits what is allocated, and the address space, of which threads reserve a part that they do not use.

    There are as many of onnxruntime's as processors, and as many again where slices of a batch are run abreast.
    An accelerator's driver reserves as much as there is, so that there the address space tells nothing.
    """
    _lower(resource.RLIMIT_DATA, memory)
    if reserve:
        _lower(resource.RLIMIT_AS, memory + _SHARED + 2 * _STACKS * (os.cpu_count() or 1))


def _limit_time(seconds: float) -> None:
    """Ends this process once it has computed for so long from now on, on all cores."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    due = used.ru_utime + used.ru_stime + seconds * (os.cpu_count() or 1)
    resource.setrlimit(resource.RLIMIT_CPU, (int(due) + 1, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _lower(kind: int, most: int) -> None:
    """Sets a limit, unless there is a lower one."""
    soft, hard = resource.getrlimit(kind)
    lowest = min(most, *(limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY), most)
    resource.setrlimit(kind, (lowest, lowest))


def _told(diagnostic: Any) -> dict[str, Any]:
    return {
        "code": diagnostic.code,
        "message": diagnostic.message,
        "notes": list(diagnostic.notes),
        "help": diagnostic.help,
    }


def _at_once() -> None:
    """A parent is waited for as long as it takes."""


if __name__ == "__main__":
    main()
