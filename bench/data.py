"""Training on data that is not held in memory, against the same data held.

    .venv-peers/bin/python -m bench.data --folder FOLDER --make
    .venv-peers/bin/python -m bench.data --folder FOLDER [--rounds 3] [--write]

Made once: a Parquet file of 4 GB, and 50,000 pictures of 64 by 64 pixels in ten folders. Each round trains the same
spec by `dlc train` in a process of its own, once as it comes and once with room for all in memory; a third one, on a
few examples, tells what the model and the libraries take. Speed is that of the training alone, after the data was
read; memory is the largest resident set, with pages of files that are mapped. The weights of both are held to be the
same to the last bit.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.timing import machine, record, table

ROOT = Path(__file__).parents[1]
WIDTH, ROWS, GROUP = 256, 4_150_000, 65_536
PICTURES, SIDE, CLASSES = 50_000, 64, 10

TABLE = """
model Net(x: float[N, {width}]) -> (logits: float[N, 10]):
    return x -> linear(512) -> relu -> linear(512) -> relu -> linear(10)

data Rows:
    source = parquet("{path}")
    x: float[{width}] = wide
    label: int[] < 10
    split = (train=0.99, valid=0.01)

train Fit on Rows:
    net = Net()
    settings:
        batch = 256
        steps = {steps}
        plan = "plain"
        optimizer = adamw(lr=1e-3)
        checkpoint = (minutes=60)
    step:
        minimize cross_entropy(net(x), label)
"""

FOLDER = """
model Net(image: float[N, 3, {side}, {side}]) -> (logits: float[N, 10]):
    h = image -> conv(16, 3, stride=2) -> relu -> conv(32, 3, stride=2) -> relu
    return h -> mean(axes=[2, 3]) -> linear(10)

data Pictures:
    source = images("{path}")
    image: float[3, {side}, {side}] = image / 255
    label: int[] < 10
    split = (train=0.99, valid=0.01)

train Fit on Pictures:
    net = Net()
    settings:
        batch = 64
        steps = {steps}
        plan = "plain"
        optimizer = adamw(lr=1e-3)
        checkpoint = (minutes=60)
    step:
        minimize cross_entropy(net(image), label)
"""


@dataclass(frozen=True)
class Trained:
    """What a training took. memory: in bytes. seconds: of the whole process."""

    rate: float
    memory: int
    seconds: float
    weights: bytes


def make(folder: Path) -> None:
    """Writes the data, large and small."""
    make_table(folder / "large.parquet", ROWS)
    make_table(folder / "small.parquet", 1024)
    make_pictures(folder / "large", PICTURES)
    make_pictures(folder / "small", 200)


def make_table(path: Path, rows: int) -> None:
    """Normal numbers, which move on by a place and a little from group to group, and labels that depend on them."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    ahead = rng.normal(size=(WIDTH, CLASSES)).astype(np.float32)
    drawn = rng.normal(size=(GROUP, WIDTH)).astype(np.float32)
    schema = pa.schema([("wide", pa.list_(pa.float32(), WIDTH)), ("label", pa.int8())])
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for start in range(0, rows, GROUP):
            wide = np.roll(drawn, start // GROUP, axis=1)[: rows - start] + np.float32(start / rows)
            label = (wide @ ahead).argmax(1).astype(np.int8)
            columns = [pa.FixedSizeListArray.from_arrays(pa.array(wide.reshape(-1)), WIDTH), pa.array(label)]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=GROUP)


def make_pictures(folder: Path, count: int) -> None:
    """Squares of a colour by class, with noise."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for place in range(count):
        own = folder / f"kind{place % CLASSES}"
        own.mkdir(parents=True, exist_ok=True)
        colour = np.array([place % CLASSES * 25, 255 - place % CLASSES * 25, 128])
        pixels = np.clip(colour + rng.integers(-60, 60, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(own / f"{place:05}.png", compress_level=1)


def trained(text: str, path: Path, steps: int, batch: int, memory: str) -> Trained:
    """A training in a process of its own. memory: how much of it data may take."""
    with tempfile.TemporaryDirectory() as name:
        spec, run = Path(name) / "spec.dl", Path(name) / "run"
        spec.write_text(text.format(path=path, steps=steps, width=WIDTH, side=SIDE))
        command = [sys.executable, "-m", "dlc", "train", str(spec), "-o", str(run), "--json"]
        started = time.perf_counter()
        with (Path(name) / "out").open("w+") as out:
            process = subprocess.Popen(command, stdout=out, env={**os.environ, "DLC_DATA_MEMORY": memory})
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            seconds = time.perf_counter() - started
            out.seek(0)
            told = out.read()
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{told}")
        result: dict[str, Any] = json.loads(told)
        weights = (run / "model.safetensors").read_bytes()
        rate, memory_used = result["steps"] * batch / result["seconds"], usage.ru_maxrss * 1024
        told = f"{path.name}, {memory}: {rate:,.0f} examples/s, {memory_used / 2**30:.2f} GiB, {seconds:.0f} s in all"
        print(told, file=sys.stderr, flush=True)
        return Trained(rate, memory_used, seconds, weights)


def disk_rate(path: Path) -> float:
    """Bytes a second of a file that is read from end to end, past what the system has in memory where it allows."""
    started, size = time.perf_counter(), path.stat().st_size
    with open(path, "rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while file.read(2**24):
            continue
    return size / (time.perf_counter() - started)


def row(name: str, text: str, large: Path, small: Path, steps: int, batch: int, rounds: int, held: str) -> list[str]:
    """One training, as it comes and held."""
    base = trained(text, small, 50, batch, held)
    pairs = [
        (trained(text, large, steps, batch, "512MiB"), trained(text, large, steps, batch, held)) for _ in range(rounds)
    ]
    streamed, kept = zip(*pairs, strict=True)
    if any(one.weights != other.weights for one, other in pairs):
        raise SystemExit(f"{name}: streamed and held, the weights differ")
    ratio = statistics.median(one.rate / other.rate for one, other in pairs)
    above = [(max(each.memory for each in of) - base.memory) / 2**30 for of in (streamed, kept)]
    rates = [statistics.median(each.rate for each in of) for of in (streamed, kept)]
    reading = [statistics.median(each.seconds - steps * batch / each.rate for each in of) for of in (streamed, kept)]
    return [
        name,
        f"{above[0]:.2f}",
        f"{above[1]:.2f}",
        f"{rates[0]:,.0f}",
        f"{rates[1]:,.0f}",
        f"{ratio:.2f}",
        f"{reading[0]:.0f}",
        f"{reading[1]:.0f}",
    ]


HEAD = [
    "",
    "GiB above the model",
    "held, GiB",
    "examples/s",
    "held, examples/s",
    "of held",
    "s to start",
    "held, s to start",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where the data is, or is to be")
    parser.add_argument("--make", action="store_true", help="makes the data, and times nothing")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("table", "pictures"))
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--write", action="store_true", help="records the table in bench/README.md")
    given = parser.parse_args()
    folder: Path = given.folder.resolve()
    if given.make:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        make(folder)
        return
    rows: list[list[str]] = []
    if given.only != "pictures":
        size = (folder / "large.parquet").stat().st_size / 1e9
        name = f"Parquet, {size:.1f} GB, MLP 256-512-512-10, batch 256"
        large, small = folder / "large.parquet", folder / "small.parquet"
        rows.append(row(name, TABLE, large, small, given.steps, 256, given.rounds, "32GiB"))
    if given.only != "table":
        name = f"{PICTURES:,} pictures of {SIDE} by {SIDE}, two convolutions, batch 64"
        large, small = folder / "large", folder / "small"
        rows.append(row(name, FOLDER, large, small, given.steps, 64, given.rounds, "32GiB"))
    disk = f"The disk reads {disk_rate(folder / 'large.parquet') / 1e6:,.0f} MB/s from end to end."
    text = f"{machine('torch', 'pyarrow', 'pillow')}\n\n{table(HEAD, rows)}\n\n{disk}"
    print(text)
    if given.write:
        record(ROOT / "bench" / "README.md", "data", text)


if __name__ == "__main__":
    main()
