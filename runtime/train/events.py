"""TensorBoard's event files, written by ourselves: a curve for each metric, and one for the learning rate.

A file is a series of records as TFRecord frames them: the length as a little-endian uint64, a masked CRC-32C of these
eight bytes, the record, a masked CRC-32C of the record. Each record is an `Event` of TensorFlow's event.proto, of whose
fields these few are written by hand: a protobuf field is its number and wire type in one varint, then its value.
"""

from __future__ import annotations

import math
import os
import socket
import struct
import time
from pathlib import Path
from types import TracebackType

from dlc.runtime.train.loop import EpochEnded

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_POLYNOMIAL = 0x82F63B78  # Castagnoli's, reflected
_START = 1  # of SessionLog.SessionStatus


class EventFile:
    """A new file `events.out.tfevents.…` in a run's folder; a context that closes it.

    purges: of an earlier file, what comes after this step is no longer true: training goes on from there.
    """

    def __init__(self, folder: Path, *, purges: int | None = None) -> None:
        now = time.time()
        # TensorBoard reads the files of a folder in the order of their names, and takes one a second and process.
        name = f"events.out.tfevents.{now:.6f}.{socket.gethostname()}.{os.getpid()}"
        self._file = open(folder / name, "xb")  # noqa: SIM115 (closed by __exit__)
        self._write(_event(now, 0, _bytes(3, b"brain.Event:2")))
        if purges is not None:
            # Steps are counted from 1, so that the one after the checkpoint is the first to come again.
            self._write(_event(now, purges + 1, _bytes(7, _varint(1, _START))))

    def __enter__(self) -> EventFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def ended(self, event: EpochEnded) -> None:
        """Writes an epoch's means. OSError where that fails."""
        values = {f"{metric}/{part}": value for part, means in event.parts.items() for metric, value in means.items()}
        finite = {tag: value for tag, value in {**values, "lr": event.lr}.items() if math.isfinite(value)}
        self._write(_event(time.time(), event.position.step, _bytes(5, b"".join(map(_value, finite, finite.values())))))

    def _write(self, record: bytes) -> None:
        self._file.write(framed(record))
        self._file.flush()


def framed(record: bytes) -> bytes:
    """A record as TFRecord frames it."""
    length = struct.pack("<Q", len(record))
    return length + struct.pack("<I", _masked(length)) + record + struct.pack("<I", _masked(record))


# --- protobuf ---------------------------------------------------------------------------------------------------


def _event(seconds: float, step: int, what: bytes) -> bytes:
    """Event: wall_time = 1, step = 2, and what = file_version 3, summary 5 or session_log 7."""
    return _key(1, _FIXED64) + struct.pack("<d", seconds) + _varint(2, step) + what


def _value(tag: str, number: float) -> bytes:
    """Summary: value = 1, of which tag = 1 and simple_value = 2."""
    return _bytes(1, _bytes(1, tag.encode()) + _key(2, _FIXED32) + struct.pack("<f", number))


def _key(field: int, wire: int) -> bytes:
    return _number(field << 3 | wire)


def _varint(field: int, number: int) -> bytes:
    return _key(field, _VARINT) + _number(number)


def _bytes(field: int, data: bytes) -> bytes:
    return _key(field, _BYTES) + _number(len(data)) + data


def _number(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


# --- CRC-32C ----------------------------------------------------------------------------------------------------


def _entry(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_TABLE = tuple(map(_entry, range(256)))


def crc32c(data: bytes) -> int:
    """The checksum of RFC 3720, appendix B.4."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _masked(data: bytes) -> int:
    """As TFRecord stores it: turned by 15 bits, plus a constant, so that checksums of checksums stay sound."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
