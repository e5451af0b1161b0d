"""Event files, read back with code of others: protobuf's wire format and framing, checksums by their published values.

TensorBoard itself reads them in `peers/test_tensorboard.py`.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from dlc.runtime.train.events import EventFile, crc32c, framed
from dlc.runtime.train.loop import EpochEnded, Position

FIELDS = {  # of TensorFlow's event.proto and summary.proto: the name, the number, the type, the message
    "Value": [("tag", 1, "STRING", ""), ("simple_value", 2, "FLOAT", "")],
    "Summary": [("value", 1, "MESSAGE", "Value")],
    "SessionLog": [("status", 1, "INT32", "")],
    "Event": [
        ("wall_time", 1, "DOUBLE", ""),
        ("step", 2, "INT64", ""),
        ("file_version", 3, "STRING", ""),
        ("summary", 5, "MESSAGE", "Summary"),
        ("session_log", 7, "MESSAGE", "SessionLog"),
    ],
}


def event_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="event.proto", package="tf", syntax="proto3")
    for name, fields in FIELDS.items():
        message = file.message_type.add(name=name)
        for field, number, kind, of in fields:
            added = message.field.add(name=field, number=number, type=f"TYPE_{kind}", label="LABEL_OPTIONAL")
            if field == "value":
                added.label = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
            if of:
                added.type_name = f".tf.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tf.Event"))


def events(folder: Path) -> list[Any]:
    (path,) = folder.glob("events.out.tfevents.*")
    data, kind, found = path.read_bytes(), event_class(), []
    while data:
        (length,) = struct.unpack_from("<Q", data)
        record = data[12 : 12 + length]
        assert data[: 16 + length] == framed(record)
        found.append(kind.FromString(record))
        data = data[16 + length :]
    return found


@pytest.mark.parametrize(
    ("data", "due"),  # RFC 3720, appendix B.4
    [
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_checksums_are_the_published_ones(data: bytes, due: int) -> None:
    assert crc32c(data) == due


def test_protobuf_reads_what_was_written(tmp_path: Path) -> None:
    parts = {"train": {"loss": 0.25, "größe": -1e30}, "valid": {"loss": float("inf")}}
    with EventFile(tmp_path, purges=2**40) as file:
        file.ended(EpochEnded(Position(3, 0, 2**40 + 128), 1e-3, parts))
    first, start, values = events(tmp_path)
    assert (first.file_version, first.step) == ("brain.Event:2", 0)
    assert (start.session_log.status, start.step) == (1, 2**40 + 1)
    assert values.step == 2**40 + 128
    assert values.wall_time == pytest.approx(first.wall_time, abs=60)
    found = {value.tag: value.simple_value for value in values.summary.value}
    assert found == {
        "loss/train": 0.25,
        "größe/train": pytest.approx(-1e30),
        "lr": pytest.approx(1e-3),
    }
