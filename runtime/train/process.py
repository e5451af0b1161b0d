"""What training asks of its process: to end in good order, and to repeat itself bit for bit."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch


@contextmanager
def stop_requests() -> Generator[threading.Event, None, None]:
    """An event that Ctrl-C and a request to end set, so that a training stops between two steps.

    A second Ctrl-C interrupts at once. Signals reach the main thread alone; elsewhere nothing changes.
    """
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    before: dict[int, Any] = {}

    def stop(number: int, frame: FrameType | None) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, stop)
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def reproducible(threads: int | None) -> Generator[None, None, None]:
    """PyTorch set to repeat itself bit for bit: deterministic algorithms, and the threads that a run started with."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic  # whose switch is a property that its types do not know
    filling = memory.fill_uninitialized_memory
    # What has no deterministic form on an accelerator still runs there, with PyTorch's own warning.
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = False  # costs time, and emitted code reads none
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1], warn_only=warns)
        memory.fill_uninitialized_memory = filling
