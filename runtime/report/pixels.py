"""Arrays as PNG pictures within a page; needs no package for it."""

from __future__ import annotations

import base64
import struct
import zlib
from html import escape
from typing import Any

import numpy as np

from dlc.runtime.infer.pictures import grid

Array = np.ndarray[Any, Any]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _COLOUR = 0, 2


def png(pixels: Array) -> bytes:
    """The bytes of a PNG file of pixels uint8[height, width] or uint8[height, width, 3], after RFC 2083."""
    height, width = pixels.shape[:2]
    colour = _GREY if pixels.ndim == 2 else _COLOUR
    rows = np.ascontiguousarray(pixels).reshape(height, -1)
    filtered = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)  # each row by filter 0: as it is
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    parts = (_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(filtered.tobytes(), 9)), _chunk(b"IEND", b""))
    return _SIGNATURE + b"".join(parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def picture(images: Array, title: str) -> str:
    """Images float[n, 1 or 3, h, w] side by side, 0 black and 1 full colour, as an `img` element."""
    data = base64.b64encode(png(grid(images))).decode()
    return f'<img alt="{escape(title, quote=True)}" src="data:image/png;base64,{data}">'
