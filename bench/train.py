"""Steps per second of training: what a spec gets without asking, against loops written by hand.

    .venv-peers/bin/python -m bench.train [--rows mlp convnet lstm gpt] [--precision fp32 bf16] [--rounds 5] [--write]
    .venv-peers/bin/python -m bench.train --scaling [--write]

The plain loop is a good one: tensors in memory, AdamW as it comes, eager. The tuned loops pull by hand what the machine
has: a fused optimiser, thresholds of the allocator, matmul precision, channels-last, attention written out. All start
at the same weights and see the same batches; the losses of the first steps must be those of the plain loop.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bench import train_nets
from bench.timing import Child, Timing, digits, interleave, machine, record, table

ROOT = Path(__file__).parents[1]
CURVE, BATCHES = 12, 8
LONG = 20_000  # steps, of a training for which a plan is worth while, and inductor is not
CLOSE = {"fp32": 2e-3, "bf16": 3e-2}  # how far losses may be from those of the plain loop

Call = Callable[[], float]


def alone() -> bool:
    """Whether processor time of one thread is what counts, for others use the machine too."""
    return os.environ.get("OMP_NUM_THREADS") == "1"


# --- the contenders, each in a process of its own ---------------------------------------------------------------


def ours(kind: str, precision: str, plan: str, folder: str) -> Call:
    """Steps of a spec, by the plan that is chosen for a long training, or the plain one."""
    import torch

    from dlc.runtime.train.plan.choosing import choose
    from dlc.runtime.train.plan.levers import FUSED, pulled
    from dlc.runtime.train.plan.record import Plan
    from dlc.runtime.train.process import reproducible

    spec, task, make = _made(kind, precision, plan, folder)
    reproducible(None).__enter__()
    device = torch.device("cpu")
    chosen = Plan() if plan == "plain" else choose(task, spec.settings, make, device)
    (Path(folder) / f"{plan}.plan").write_text(chosen.line(), encoding="utf-8")
    pulled(chosen.levers, task).__enter__()
    _start(task, folder)
    steps = make([FUSED] if FUSED in chosen.levers else []).endless()
    return lambda: next(steps).loss or 0.0


def _made(kind: str, precision: str, plan: str, folder: str) -> Any:
    import torch

    from dlc.runtime.spec import read_checked
    from dlc.runtime.train.data import load_data
    from dlc.runtime.train.loop import Loop
    from dlc.runtime.train.making import make_task

    path = Path(folder) / f"{kind}-{precision}-{plan}.dl"
    path.write_text(train_nets.spec(kind, precision, plan, LONG), encoding="utf-8")
    spec = read_checked(path, {}).trains["Fit"]
    task = make_task(spec, load_data(spec.data, Path(folder), 0, None), torch.device("cpu"))
    return spec, task, lambda levers: Loop(task, spec.settings, fused=bool(levers) and "fused optimiser" in levers)


def _start(task: Any, folder: str) -> None:
    """The weights that all start with: those of the first to come."""
    import torch

    path = Path(folder) / "start.npz"
    weights = list(task.instances["net"].parameters())
    if not path.exists():
        np.savez(path, *[weight.detach().numpy() for weight in weights])
    with torch.no_grad(), np.load(path) as start:
        for weight, value in zip(weights, start.values(), strict=True):
            weight.copy_(torch.from_numpy(value))


def by_hand(kind: str, precision: str, levers: Sequence[str], folder: str) -> Call:
    """A loop in PyTorch, with these levers."""
    import torch
    from torch.nn import functional

    if "allocator" in levers:
        from dlc.runtime.train.plan.allocator import keep_memory

        keep_memory()
    if "medium" in levers:
        torch.set_float32_matmul_precision("medium")
    net = train_nets.net(kind, written_out="written" in levers)
    with torch.no_grad(), np.load(Path(folder) / "start.npz") as start:
        for weight, value in zip(net.parameters(), start.values(), strict=True):
            weight.copy_(torch.from_numpy(value))
    if "channels-last" in levers:
        net = net.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, fused="fused" in levers or None)
    with np.load(Path(folder) / "data.npz") as data:
        x, y = torch.from_numpy(data["x"]), torch.from_numpy(data["y"])
    size = train_nets.BATCH[kind]

    def steps() -> Iterator[float]:
        while True:
            for start in range(0, len(x), size):
                with torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext():
                    logits = net(x[start : start + size])
                    loss = functional.cross_entropy(logits.flatten(0, -2), y[start : start + size].flatten())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                yield float(loss.detach())

    taken = steps()
    return lambda: next(taken)


def lightning(kind: str, precision: str, folder: str) -> Call:
    """Seconds of a step within `Trainer.fit`, without bar, log and checkpoints."""
    import warnings

    import torch
    from lightning import LightningModule, Trainer
    from torch.nn import functional

    warnings.simplefilter("ignore")

    class Fit(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = train_nets.net(kind)
            self.times: list[float] = []

        def training_step(self, batch: Any, index: int) -> Any:
            self.times.append(time.process_time() if alone() else time.perf_counter())
            return functional.cross_entropy(self.net(batch[0]).flatten(0, -2), batch[1].flatten())

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters(), lr=1e-3)

    with np.load(Path(folder) / "data.npz") as data:
        x, y = torch.from_numpy(data["x"]), torch.from_numpy(data["y"])
    size = train_nets.BATCH[kind]
    batches = [(x[i : i + size], y[i : i + size]) for i in range(0, len(x), size)]

    def fit() -> float:
        module = Fit()
        trainer = Trainer(
            max_epochs=2,
            accelerator="cpu",
            precision="bf16-mixed" if precision == "bf16" else "32-true",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, batches)
        return statistics.median(b - a for a, b in zip(module.times, module.times[1:], strict=False))

    return fit


def in_keras(kind: str, precision: str, backend: str, folder: str) -> Call:
    """Seconds of a step within `Model.fit`."""
    os.environ["KERAS_BACKEND"] = backend
    import keras

    keras.mixed_precision.set_global_policy("mixed_bfloat16" if precision == "bf16" else "float32")
    model = train_nets.keras_net(kind)
    model.compile(keras.optimizers.AdamW(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with np.load(Path(folder) / "data.npz") as data:
        x, y = data["x"], data["y"]
    x = x.transpose(0, 2, 3, 1).copy() if kind == "convnet" else x
    size = train_nets.BATCH[kind]
    model.fit(x, y, batch_size=size, verbose=0)

    def fit() -> float:
        clock = time.process_time if alone() else time.perf_counter
        started = clock()
        model.fit(x, y, batch_size=size, verbose=0, epochs=2)
        return (clock() - started) / (2 * len(x) / size)

    return fit


TUNED = {
    "mlp": [("fused", "allocator", "medium")],
    "convnet": [("fused", "allocator", "channels-last"), ("fused", "allocator", "channels-last", "medium")],
    "lstm": [("fused", "allocator"), ("fused", "allocator", "medium")],
    "gpt": [("fused", "allocator", "written"), ("fused", "allocator", "medium", "written"), ("fused", "allocator")],
}

# --- a row ------------------------------------------------------------------------------------------------------


def row(
    kind: str, precision: str, rounds: int, seconds: float, others: Sequence[str], clock: Callable[[], float]
) -> tuple[list[str], float]:
    """A line of the table, and how many times as fast as the plain loop ours is."""
    with TemporaryDirectory() as folder:
        np.savez(Path(folder) / "data.npz", **train_nets.data(kind, BATCHES))
        first = Child(ours, kind, precision, "plain", folder)  # writes the weights that all start with
        rivals = {"ours": Child(ours, kind, precision, "auto", folder), "ours, plain": first}
        rivals["plain loop"] = Child(by_hand, kind, precision, (), folder)
        for levers in TUNED[kind]:
            if precision == "fp32" or "medium" not in levers:
                rivals[f"tuned: {', '.join(levers)}"] = Child(by_hand, kind, precision, levers, folder)
        curves = {name: [rival.result() for _ in range(CURVE)] for name, rival in rivals.items()}
        apart = max(_apart(curve, curves["plain loop"]) for curve in curves.values())
        if apart > CLOSE[precision]:
            raise SystemExit(f"{kind}, {precision}: losses differ from those of the plain loop by {apart:.1e}")
        turns: dict[str, Callable[[], float]] = {
            name: lambda rival=rival: rival.turn(seconds, clock) for name, rival in rivals.items()
        }
        fits = {"Lightning": (lightning,), "Keras, torch": (in_keras, "torch"), "Keras, JAX": (in_keras, "jax")}
        for name in others:
            maker, *given = fits[name]
            rivals[name] = Child(maker, kind, precision, *given, folder)
            turns[name] = rivals[name].result
        taken = interleave(turns, rounds)
        line = (Path(folder) / "auto.plan").read_text(encoding="utf-8")
        for rival in rivals.values():
            rival.close()
    print(f"{kind}, {precision}: {line}", flush=True)
    mine = taken["ours"]
    best = min((name for name in taken if name.startswith("tuned")), key=lambda name: taken[name].median)

    def speed(other: Timing | None) -> str:
        return "" if other is None else f"{other.times(mine):.2f}"

    cells = [
        f"{train_nets.TITLE[kind]}, {precision}",
        digits(1 / mine.median),
        f"{mine.spread:.0%}",
        speed(taken["plain loop"]),
        speed(taken[best]),
        *(speed(taken.get(name)) for name in fits),
        f"{taken['plain loop'].times(taken['ours, plain']):.2f}",
        best.removeprefix("tuned: "),
        f"{apart:.0e}",
        line.removeprefix("plan: "),
    ]
    return cells, taken["plain loop"].times(mine)


def _apart(curve: Sequence[float], other: Sequence[float]) -> float:
    return max(abs(a - b) / abs(b) for a, b in zip(curve, other, strict=True))


HEAD = (
    "steps/s of",
    "ours",
    "spread",
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

# --- step time against layers and batch -------------------------------------------------------------------------


def scaling(seconds: float, rounds: int, clock: Callable[[], float]) -> str:
    """Milliseconds of a step of ours by the plain plan and of the plain loop, by layers and by batch."""
    rows: list[list[str]] = []
    for layers, batch in [*((layers, 32) for layers in (2, 8, 32, 64)), *((4, batch) for batch in (1, 8, 64, 512))]:
        kind = f"deep-{layers}-{batch}"
        train_nets.add_deep(kind, layers, batch)
        with TemporaryDirectory() as folder:
            np.savez(Path(folder) / "data.npz", **train_nets.data(kind, BATCHES))
            rivals = {"ours": Child(ours, kind, "fp32", "plain", folder)}
            rivals["theirs"] = Child(by_hand, kind, "fp32", (), folder)
            taken = interleave({name: lambda r=rival: r.turn(seconds, clock) for name, rival in rivals.items()}, rounds)
            for rival in rivals.values():
                rival.close()
        both = [digits(taken[name].median * 1e3) for name in ("ours", "theirs")]
        rows.append([str(layers), str(batch), *both, f"{taken['theirs'].times(taken['ours']):.2f}"])
        print(rows[-1], flush=True)
    return table(["layers of 128", "batch", "ours, ms", "plain loop, ms", "times as fast"], rows)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", nargs="*", default=list(train_nets.TITLE))
    arguments.add_argument("--precision", nargs="*", default=["fp32", "bf16"])
    arguments.add_argument("--others", nargs="*", default=["Lightning", "Keras, torch", "Keras, JAX"])
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=float, default=1.0, help="of a contender's turn")
    arguments.add_argument("--alone", action="store_true", help="one thread each, and processor time")
    arguments.add_argument("--scaling", action="store_true")
    arguments.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    given = arguments.parse_args()
    where = machine("torch", "lightning", "keras", "jax")
    clock = time.perf_counter
    if given.alone:
        os.environ["OMP_NUM_THREADS"] = "1"
        clock = time.process_time
        where = f"On a machine that others used too: one thread each, processor time, {given.rounds} rounds. {where}"
    if given.scaling:
        text = scaling(given.seconds, given.rounds, clock)
        if given.write:
            record(ROOT / "bench/README.md", "train scaling", f"{text}\n\n{where}")
        return
    parts: list[str] = []
    for precision in given.precision:
        made = [row(kind, precision, given.rounds, given.seconds, given.others, clock) for kind in given.rows]
        mean = math.exp(statistics.fmean(math.log(speed) for _, speed in made))
        parts += [table(HEAD, [cells for cells, _ in made]), f"Geometric mean in {precision}: {mean:.2f}."]
        print("\n\n".join(parts[-2:]), file=sys.stdout, flush=True)
    if given.write:
        record(ROOT / "bench/README.md", "train", "\n\n".join([*parts, where]))


if __name__ == "__main__":
    main()
