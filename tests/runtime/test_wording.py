"""Tokens that are bytes of text are told as text, and nothing else is."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from dlc.compiler.dim import Dim
from dlc.compiler.types import DType, Tensor
from dlc.runtime.cli.group import commands
from dlc.runtime.spec import read_checked
from dlc.runtime.wording import texts

SPEC = """
model Next(tokens: int[N, T] < 256) -> (logits: float[N, T, 256]):
    return embedding(tokens, 256, 256)

data Docs:
    source = text("letters.txt", tokenizer={tokenizer}, window=9, stride=8)
    tokens: int[9] < {size}
    split = (train=1.0)

train Fit on Docs:
    net = Next()
    settings:
        batch = all
        epochs = 1
    step:
        minimize cross_entropy(net(tokens[:, :-1]), tokens[:, 1:])
    again(start: int[N, T] < 256):
        return start
"""
BYTES = Tensor(DType.INT, (Dim.of(2),), Dim.of(256))


def spec(folder: Path, tokenizer: str, size: int) -> Path:
    (folder / "letters.txt").write_text("abc" * 40)
    path = folder / "net.dl"
    path.write_text(SPEC.format(tokenizer=tokenizer, size=size))
    return path


@pytest.mark.parametrize(
    ("tokenizer", "size", "type", "array", "due"),
    [
        ("bytes()", 256, BYTES, [195, 164, 33], ["ä!"]),
        ("bytes()", 256, BYTES, [[97, 255], [98, 10]], ["a\ufffd", "b\n"]),
        ("bytes()", 256, BYTES, [[[97]]], []),
        ("bytes()", 256, Tensor(DType.INT, (Dim.of(2),), Dim.of(10)), [1, 2], []),
        ("bytes()", 256, Tensor(DType.INT, (Dim.of(2),)), [1, 2], []),
        ("chars()", 3, BYTES, [97, 98], []),
    ],
    ids=["one", "several", "rank", "other range", "no range", "characters"],
)
def test_texts(tokenizer: str, size: int, type: Tensor, array: object, due: list[str], tmp_path: Path) -> None:
    data = read_checked(spec(tmp_path, tokenizer, size)).data["Docs"]
    assert texts(data, type, np.array(array)) == due


def test_call_tells_what_bytes_say(tmp_path: Path) -> None:
    path, run = str(spec(tmp_path, "bytes()", 256)), str(tmp_path / "run")
    assert CliRunner().invoke(commands, ["train", path, "-o", run, "--quiet"]).exit_code == 0
    told = CliRunner().invoke(commands, ["call", run, "again", "--start", "[[104, 105], [10, 104]]"])
    assert told.stdout.splitlines()[-2:] == ["'hi'", "'\\nh'"]
