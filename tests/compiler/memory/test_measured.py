"""The memory that is predicted for a step of training, against what PyTorch's allocator is asked for in one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from dlc.compiler.memory.records import Setting
from dlc.compiler.memory.training import Budget, sizes_by_name
from dlc.compiler.program import TrainSpec
from dlc.runtime.data.load import load_data
from dlc.runtime.spec import read_checked
from dlc.runtime.train.loop import Loop, Stepped
from dlc.runtime.train.making import make_task
from dlc.runtime.train.recomputing import recompute

GPT = (Path(__file__).parents[2] / "examples/gpt.dl").read_text()
CLASSES = """
data Made:
    source = generate({count})
    x: float[{shape}] = normal({shape})
    label: int[] < 10 = randint(below=10)

train Fit on Made:
    net = Net()
    settings:
        batch = {batch}
        epochs = 3
        optimizer = {optimizer}
    step:
        logits = net(x)
        minimize cross_entropy(logits, label)
"""
MLP = """
model Net(x: float[N, 256]) -> (y: float[N, 10]):
    return x -> linear(512) -> relu -> linear(512) -> gelu -> dropout(0.1) -> linear(10)
""" + CLASSES.format(count=400, shape="256", batch=200, optimizer="adamw(lr=1e-3)")
CONVNET = """
block Residual(x: float[N, C, H, W]) -> float[N, C, H, W]:
    return relu(x + (x -> conv(C, 3) -> batch_norm -> relu -> conv(C, 3) -> batch_norm))

model Net(x: float[N, 3, 16, 16]) -> (y: float[N, 10]):
    h = x -> conv(16, 3) -> batch_norm -> relu -> Residual -> max_pool(2)
    return h -> conv(32, 3) -> group_norm(4) -> Residual -> mean(axes=[2, 3]) -> linear(10)
""" + CLASSES.format(count=64, shape="3, 16, 16", batch=32, optimizer="sgd(lr=0.1, momentum=0.9)")
LSTM = """
model Net(x: float[N, 25, 32]) -> (y: float[N, 10]):
    h, last, cell = x -> lstm(64, depth=2)
    return last[-1] -> linear(10)
""" + CLASSES.format(count=64, shape="25, 32", batch=32, optimizer="rmsprop(lr=1e-3)")
GRU = LSTM.replace("h, last, cell = x -> lstm(64, depth=2)", "h, last = x -> gru(64, bidirectional=true)").replace(
    "last[-1]", "last"
)
TEXT = (
    GPT
    + """
data Made:
    source = generate(8)
    tokens: int[65] < vocab = randint(65, below=vocab)

train Fit on Made:
    net = GPT(width=64, depth=2, heads=4)
    settings:
        batch = 4
        epochs = 3
        optimizer = adamw(lr=1e-3)
    step:
        logits = net(tokens[:, :-1])
        minimize cross_entropy(logits, tokens[:, 1:])
"""
)
DEEP = f"""
model Net(x: float[N, 512]) -> (y: float[N, 10]):
    return x {"-> linear(512) -> relu " * 6}-> linear(10)
""" + CLASSES.format(count=120, shape="512", batch=20, optimizer="adamw(lr=1e-3)")
GATHERED = DEEP.replace("        epochs = 3\n", "        epochs = 3\n        accumulate = 3\n")
AGAIN = TEXT.replace("        epochs = 3\n", "        epochs = 3\n        recompute = Layer\n")
# What does not depend on the turn before is computed for all turns at once, which is not foreseen.
WALKED = """
model Net(x: float[N, 20, 32]) -> (y: float[N, 10]):
    h = zeros(N, 64)
    loop each in x along 1:
        h = tanh(linear(each, 64) + linear(h, 64))
    return h -> linear(10)
""" + CLASSES.format(count=64, shape="20, 32", batch=32, optimizer="adam(lr=1e-3)")


def predicted(spec: TrainSpec) -> int:
    setting = Setting(accelerator=False, recompute=spec.settings.recompute)
    budget = Budget(spec, setting, spec.settings.optimizer, accumulates=spec.settings.accumulate > 1)
    assert isinstance(spec.settings.batch, int)
    return budget.at(sizes_by_name(budget.symbols, {"N": spec.settings.batch})).total


def measured(spec: TrainSpec, folder: Path) -> int:
    """The weights, what the optimiser remembers, and the most that the second update has allocated at once."""
    task = make_task(spec, load_data(spec.data, folder, 0), torch.device("cpu"))
    if spec.settings.recompute is not None:
        recompute(task.instances, spec, spec.settings.recompute)
    loop = Loop(task, spec.settings)
    events = loop.events()
    _update(events, spec)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        _update(events, spec)
    untyped: Any = profiled
    found = [event for event in untyped.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = most = 0
    for event in sorted(found, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    weights = [each for module in task.instances.values() for each in (*module.parameters(), *module.buffers())]
    remembered = loop.tensors().values()
    return most + sum(each.nbytes for each in weights) + sum(each.nbytes for each in remembered)


def _update(events: Iterator[object], spec: TrainSpec) -> None:
    """Takes the steps of an update."""
    left = spec.settings.accumulate
    while left:
        left -= isinstance(next(events), Stepped)


@pytest.mark.parametrize(
    ("text", "within"),
    [
        (MLP, 0.02),
        (GATHERED, 0.02),
        (CONVNET, 0.08),
        (LSTM, 0.15),
        (GRU, 0.05),
        (TEXT, 0.1),
        (AGAIN, 0.1),
        (WALKED, 0.4),
    ],
    ids=["mlp", "gathered", "convnet", "lstm", "gru", "gpt", "recomputed", "loop"],
)
def test_a_step_takes_what_is_predicted(text: str, within: float, tmp_path: Path) -> None:
    (tmp_path / "spec.dl").write_text(text)
    spec = read_checked(tmp_path / "spec.dl").trains["Fit"]
    assert predicted(spec) == pytest.approx(measured(spec, tmp_path), rel=within)
