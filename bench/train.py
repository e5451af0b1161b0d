"""Steps per second of training: what a spec gets without asking, against loops written by hand.

    .venv-peers/bin/python -m bench.train [--rows mlp convnet lstm gpt] [--precision fp32 bf16] [--rounds 5] [--write]
    .venv-peers/bin/python -m bench.train --scaling [--write]

The plain loop is a good one: tensors in memory, AdamW as it comes, eager, fp32. The tuned loops pull by hand what the
machine has: a fused optimiser, thresholds of the allocator, matmul precision, channels-last, attention written out,
inductor. All start at the same weights and see the same batches; the losses of the first steps must be those of the
plain loop.
`--write` puts rows into bench/README.md, where those stay that were not measured.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench import train_nets
from bench.timing import Child, Timing, digits, interleave, machine, record, recorded, table
from bench.train_contenders import by_hand, gflop, in_keras, lightning, ours, product

PAGE = Path(__file__).parent / "README.md"
CURVE, BATCHES = 12, 8
CLOSE = {"fp32": 2e-3, "bf16": 3e-2}  # how far losses may be from those of the plain loop
OTHERS = {"Lightning": (lightning,), "Keras, torch": (in_keras, "torch"), "Keras, JAX": (in_keras, "jax")}
TUNED = {
    "mlp": [("fused", "allocator"), ("fused", "allocator", "medium"), ("fused", "allocator", "medium", "compile")],
    "convnet": [
        ("fused", "allocator", "channels-last"),
        ("fused", "allocator", "channels-last", "medium"),
        ("fused", "allocator", "channels-last", "compile"),
    ],
    "lstm": [("fused", "allocator"), ("fused", "allocator", "medium")],
    "gpt": [
        ("fused", "allocator"),
        ("fused", "allocator", "written"),
        ("fused", "allocator", "medium", "written"),
        ("fused", "allocator", "medium", "written", "compile"),
    ],
}
HEAD = (
    "steps/s of",
    "ours",
    "spread",
    "of GEMM",
    "times plain loop",
    "times best tuned",
    "times Lightning",
    "times Keras on torch",
    "times Keras on JAX",
    '`plan = "plain"`, times plain loop',
    "the best tuned",
    "losses differ by",
    "plan",
)

Clock = Callable[[], float]
Row = list[str]


@contextmanager
def living(rivals: dict[str, Child]) -> Iterator[dict[str, Child]]:
    """Contenders whose processes end with the block."""
    try:
        yield rivals
    finally:
        for rival in rivals.values():
            rival.close()


def row(
    kind: str, precision: str, others: Sequence[str], limit: float, rounds: int, seconds: float, clock: Clock
) -> Row:
    """A line of the table. limit: GFLOP/s of a product of large matrices."""
    with TemporaryDirectory() as folder, living({}) as rivals:
        np.savez(Path(folder) / "data.npz", **train_nets.data(kind, BATCHES))
        rivals["ours, plain"] = Child(ours, kind, precision, "plain", folder)  # writes the weights that all start with
        rivals["ours"] = Child(ours, kind, precision, "auto", folder)
        line = (Path(folder) / "auto.plan").read_text(encoding="utf-8")
        print(f"{kind}, {precision}: {line}", flush=True)
        rivals["plain loop"] = Child(by_hand, kind, "fp32", (), folder)
        for levers in [*([()] if precision == "bf16" else []), *TUNED[kind]]:
            if precision == "fp32" or "medium" not in levers:
                rivals[f"tuned: {', '.join(levers) or 'autocast alone'}"] = Child(
                    by_hand, kind, precision, levers, folder
                )
        curves = {name: [rival.result() for _ in range(CURVE)] for name, rival in rivals.items()}
        apart = max(_apart(curve, curves["plain loop"]) for curve in curves.values())
        if apart > CLOSE[precision]:
            raise SystemExit(f"{kind}, {precision}: losses differ from those of the plain loop by {apart:.1e}")
        turns: dict[str, Callable[[], float]] = {
            name: partial(rival.turn, seconds, clock) for name, rival in rivals.items()
        }
        for name in others:
            maker, *given = OTHERS[name]
            rivals[name] = Child(maker, kind, precision, *given, folder)
            turns[name] = rivals[name].result
        taken = interleave(turns, rounds)
    for name, timing in taken.items():
        print(f"    {name}: {digits(timing.median * 1e3)} ms, {timing.spread:.0%}", flush=True)
    return _cells(kind, precision, taken, apart, limit, line)


def _cells(kind: str, precision: str, taken: Mapping[str, Timing], apart: float, limit: float, line: str) -> Row:
    mine, plain = taken["ours"], taken["plain loop"]
    best = min((name for name in taken if name.startswith("tuned")), key=lambda name: taken[name].median)

    def speed(name: str) -> str:
        return f"{taken[name].times(mine):.2f}" if name in taken else ""

    return [
        f"{train_nets.TITLE[kind]}, {precision}",
        digits(1 / mine.median),
        f"{mine.spread:.0%}",
        f"{gflop(kind) / mine.median / limit:.0%}",
        speed("plain loop"),
        speed(best),
        *map(speed, OTHERS),
        f"{plain.times(taken['ours, plain']):.2f}",
        best.removeprefix("tuned: "),
        f"{apart:.0e}",
        line.removeprefix("plan: "),
    ]


def _apart(curve: Sequence[float], other: Sequence[float]) -> float:
    return max(abs(a - b) / abs(b) for a, b in zip(curve, other, strict=True))


# --- the tables -------------------------------------------------------------------------------------------------


def limits(precision: str, clock: Clock) -> float:
    """GFLOP/s of products of matrices of 2048 by 2048, by the faster of PyTorch's libraries."""
    kinds = ("highest", "medium") if precision == "fp32" else ("bf16",)
    with living({kind: Child(product, kind) for kind in kinds}) as sides:
        taken = interleave({name: partial(child.turn, clock=clock) for name, child in sides.items()}, 3)
    return 2e-9 * 2048**3 / min(min(timing.seconds) for timing in taken.values())


def merged(rows: Sequence[Row]) -> list[Row]:
    """All rows: those of the page, in whose place come those that were measured now."""
    known = {title: [*cells.values()] for title, cells in recorded(PAGE, "train").items()}
    known |= {cells[0]: cells for cells in rows}
    titles = [f"{title}, {precision}" for precision in CLOSE for title in train_nets.TITLE.values()]
    return [known[title] for title in titles if title in known]


def written(rows: Sequence[Row]) -> str:
    """A table for each precision, with the mean over its rows."""
    parts: list[str] = []
    for precision in CLOSE:
        these = [cells for cells in rows if cells[0].endswith(f", {precision}")]
        if these:
            place = HEAD.index("times plain loop")
            mean = math.exp(statistics.fmean(math.log(float(cells[place])) for cells in these))
            parts += [table(HEAD, these), f"Geometric mean over the plain loop in {precision}: {mean:.2f}."]
    return "\n\n".join(parts)


def scaling(rounds: int, seconds: float, clock: Clock) -> str:
    """Milliseconds of a step of ours by the plain plan and of the plain loop, by layers and by batch."""
    rows: list[Row] = []
    for layers, batch in [*((layers, 32) for layers in (2, 8, 32, 64)), *((4, batch) for batch in (1, 8, 64, 512))]:
        kind = f"deep-{layers}-{batch}"
        with TemporaryDirectory() as folder, living({}) as rivals:
            np.savez(Path(folder) / "data.npz", **train_nets.data(kind, BATCHES))
            rivals["ours"] = Child(ours, kind, "fp32", "plain", folder)
            rivals["theirs"] = Child(by_hand, kind, "fp32", (), folder)
            taken = interleave({name: partial(rival.turn, seconds, clock) for name, rival in rivals.items()}, rounds)
        both = [digits(taken[name].median * 1e3) for name in ("ours", "theirs")]
        rows.append([str(layers), str(batch), *both, f"{taken['theirs'].times(taken['ours']):.2f}"])
        print(rows[-1], flush=True)
    return table(["layers of 128", "batch", "ours, ms", "plain loop, ms", "times as fast"], rows)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", nargs="*", default=list(train_nets.TITLE), choices=list(train_nets.TITLE))
    arguments.add_argument("--precision", nargs="*", default=list(CLOSE), choices=list(CLOSE))
    arguments.add_argument("--others", nargs="*", default=list(OTHERS), choices=list(OTHERS))
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=float, default=0.5, help="of a contender's turn")
    arguments.add_argument("--alone", action="store_true", help="one thread each, and processor time")
    arguments.add_argument("--scaling", action="store_true")
    arguments.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    given = arguments.parse_args()
    where = f"{machine('torch', 'lightning', 'keras', 'jax')}; {given.rounds} rounds."
    clock = time.perf_counter
    if given.alone:
        os.environ["OMP_NUM_THREADS"] = "1"
        clock = time.process_time
        where = f"On a machine that others used too: one thread each, processor time. {where}"
    if given.scaling:
        text = scaling(given.rounds, given.seconds, clock)
        if given.write:
            record(PAGE, "train scaling", f"{text}\n\n{where}")
        return
    rows: list[Row] = []
    for precision in given.precision:
        limit = limits(precision, clock)
        print(f"GEMM limit, {precision}: {digits(limit)} GFLOP/s", flush=True)
        for kind in given.rows:
            rows.append(row(kind, precision, given.others, limit, given.rounds, given.seconds, clock))
            print(table(HEAD, rows[-1:]), flush=True)
            if given.write:
                record(PAGE, "train", f"{written(merged(rows))}\n\n{where}")
    print(written(rows), flush=True)


if __name__ == "__main__":
    main()
