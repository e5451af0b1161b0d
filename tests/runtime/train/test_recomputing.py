"""Activations computed again: the same weights bit for bit, for less memory; chosen where a step would not fit."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dlc.compiler.program import TrainSpec
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.data.load import load_data
from dlc.runtime.spec import read_checked
from dlc.runtime.train.loop import Loop
from dlc.runtime.train.making import make_task
from dlc.runtime.train.plan import room
from dlc.runtime.train.recomputing import recompute, recomputes
from dlc.runtime.train.task import Task

SPEC = """
block Layer(x: float[N, d]) -> float[N, d]:
    return x + (x -> linear(32) -> batch_norm -> relu -> dropout(0.3) -> linear(d))

block Pair(x: float[N, d]) -> float[N, d]:
    return x -> Layer -> Layer

block Gate(x: float[N, d]) -> float[N, d]:
    return x * sigmoid(x)

model Net(x: float[N, 8]) -> (y: float[N, 3]):
    return x -> Pair -> Gate -> Layer -> linear(3)

data Made:
    source = generate(48)
    x: float[8] = normal(8)
    label: int[] < 3 = randint(below=3)

train Fit on Made:
    net = Net()
    settings:
        batch = 16
        epochs = 3
        {setting}
    step:
        minimize cross_entropy(net(x), label)
"""
CPU = torch.device("cpu")


def spec_of(folder: Path, setting: str = "") -> TrainSpec:
    path = folder / "spec.dl"
    path.write_text(SPEC.replace("        {setting}\n", f"        {setting}\n" if setting else ""))
    return read_checked(path).trains["Fit"]


def task_of(spec: TrainSpec, folder: Path) -> Task:
    return make_task(spec, load_data(spec.data, folder, 0), CPU)


def trained(spec: TrainSpec, folder: Path, prepare: Callable[[Task], None]) -> dict[str, Tensor]:
    task = task_of(spec, folder)
    prepare(task)
    for _ in Loop(task, spec.settings).events():
        continue
    return task.instances["net"].state_dict()


@pytest.mark.parametrize("block", ["Layer", "Pair", "Net"])
def test_what_is_learned_is_the_same_to_the_bit(block: str, tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    kept = trained(spec, tmp_path, lambda task: None)
    again = trained(spec, tmp_path, lambda task: recompute(task.instances, spec, block))
    assert kept.keys() == again.keys()
    for name, value in kept.items():
        assert torch.equal(value, again[name]), name  # running statistics and dropout's draws included


def saved(task: Task) -> int:
    """The bytes that a loss keeps for its gradient."""
    found: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        found[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    fields = [torch.randn(16, 8), torch.zeros(16, dtype=torch.long)]
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        task.call(lambda loss, **given: None, fields)
    return sum(found.values())


def test_an_outer_instance_keeps_its_input_alone(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    whole, less = task_of(spec, tmp_path), task_of(spec, tmp_path)
    recompute(less.instances, spec, "Layer")
    assert recomputes(less.instances["net"])
    assert not recomputes(whole.instances["net"])
    assert saved(less) < 0.5 * saved(whole)


def test_the_setting_names_a_block_with_weights(tmp_path: Path) -> None:
    assert spec_of(tmp_path, "recompute = Layer").settings.recompute == "Layer"
    assert spec_of(tmp_path, "recompute = none").settings.recompute is None
    for wrong in ("Gate", "Lyer", '"Layer"', "3"):
        with pytest.raises(Refusal) as refused:
            spec_of(tmp_path, f"recompute = {wrong}")
        (found,) = refused.value.diagnostics
        assert "`recompute` names a block that has weights" in found.message
        assert "Layer" in (found.help or "")


def test_a_block_is_chosen_where_a_step_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of(tmp_path)
    whole = room.step_bytes(spec, 16, CPU)
    assert whole is not None
    assert room.block_that_fits(spec, 16, CPU, 2 * whole) is None
    assert room.block_that_fits(spec, 16, CPU, None) is None
    told: list[str] = []
    monkeypatch.setattr(room, "free_bytes", lambda device: 1000)
    plain = task_of(spec, tmp_path)
    room.recompute_where_due(spec_of(tmp_path, 'plan = "plain"'), plain, CPU, told.append)
    assert not recomputes(plain.instances["net"])
    assert not told
    task = task_of(spec, tmp_path)
    room.recompute_where_due(spec, task, CPU, told.append)
    assert recomputes(task.instances["net"])
    assert len(told) == 1
    assert "computes its activations again" in told[0]


def test_free_memory_is_known_on_this_system() -> None:
    free = room.free_bytes(CPU)
    if Path("/proc/meminfo").exists():
        assert free is not None
        assert 2**20 < free < 2**50
