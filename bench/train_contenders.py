"""The contenders of `bench/train.py`: each maker gives what takes a step, or the seconds of one, in its own process."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bench import train_nets

LONG = 20_000  # steps, of a training for which a plan is worth while

_EPOCHS = {"mlp": 20, "convnet": 2}  # that others' trainers take in a turn, where steps are short

_HELD = ExitStack()  # what a plan has set, for as long as the process lives

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
    _HELD.enter_context(reproducible(None))
    device = torch.device("cpu")
    chosen = Plan() if plan == "plain" else choose(task, spec.settings, make, device)
    (Path(folder) / f"{plan}.plan").write_text(chosen.line(), encoding="utf-8")
    _HELD.enter_context(pulled(chosen.levers, task))
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
    if "compile" in levers:
        net.compile(dynamic=False)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, fused="fused" in levers or None)
    with np.load(Path(folder) / "data.npz") as data:
        x, y = torch.from_numpy(data["x"]), torch.from_numpy(data["y"])
    size = train_nets.batch(kind)

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
    import logging
    import warnings

    import torch
    from lightning import LightningModule, Trainer
    from torch.nn import functional

    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

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
    size = train_nets.batch(kind)
    batches = [(x[i : i + size], y[i : i + size]) for i in range(0, len(x), size)]

    def fit() -> float:
        module = Fit()
        trainer = Trainer(
            max_epochs=_EPOCHS.get(kind, 1),
            accelerator="cpu",
            precision="bf16-mixed" if precision == "bf16" else "32-true",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, torch.utils.data.DataLoader(batches, batch_size=None))
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
    size = train_nets.batch(kind)
    epochs = _EPOCHS.get(kind, 1)
    model.fit(x, y, batch_size=size, verbose=0)

    def fit() -> float:
        clock = time.process_time if alone() else time.perf_counter
        started = clock()
        model.fit(x, y, batch_size=size, verbose=0, epochs=epochs)
        return (clock() - started) / (epochs * len(x) / size)

    return fit


# --- the limit --------------------------------------------------------------------------------------------------


def product(kind: str) -> Callable[[], object]:
    """A product of matrices of 2048 by 2048: in bf16, or in fp32 of that precision."""
    import torch

    if kind == "bf16":
        a = torch.randn(2048, 2048, dtype=torch.bfloat16)
    else:
        torch.set_float32_matmul_precision(kind)
        a = torch.randn(2048, 2048)
    return lambda: a @ a


def gflop(kind: str) -> float:
    """What the products of a step take: each multiply-add of the network thrice, forward and twice backward."""
    from dlc.compiler.cost import Costs
    from dlc.runtime.spec import read_checked

    with TemporaryDirectory() as folder:
        path = Path(folder) / "net.dl"
        path.write_text(train_nets.spec(kind, "fp32", "plain", LONG), encoding="utf-8")
        np.savez(Path(folder) / "data.npz", **train_nets.data(kind, 1))
        graph = next(iter(read_checked(path, {}).models.values())).graph
    macs = Costs().macs(graph)
    sizes = {symbol: 64 if symbol.name == "T" else train_nets.batch(kind) for symbol in macs.symbols()}
    return 6e-9 * macs.evaluate(sizes)
