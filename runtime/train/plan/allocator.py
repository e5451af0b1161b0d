"""The thresholds of glibc's allocator, above which it asks the system for memory at each request and gives it back.

Fresh pages are zeroed by the system on their first touch: a step whose buffers lie above the threshold pays for that
each time anew.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_BYTES = 1 << 30


def adjustable() -> bool:
    """Whether this process has an allocator with such thresholds."""
    return sys.platform == "linux" and platform.libc_ver()[0] == "glibc"


@cache
def keep_memory() -> None:
    """Lets the process keep up to a gibibyte that is free, and cut buffers as large from what it keeps.

    It holds for as long as the process lives: glibc cannot be told to adapt its thresholds by itself again.
    """
    library = ctypes.CDLL(None)
    for threshold in (_MMAP_THRESHOLD, _TRIM_THRESHOLD):
        library.mallopt(threshold, _BYTES)


def kept() -> bool:
    """Whether this process keeps memory already."""
    return keep_memory.cache_info().currsize > 0
