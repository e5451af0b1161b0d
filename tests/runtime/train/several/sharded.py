"""Trains one spec for some steps, alone, by several processes, or in shards, and writes losses and what memory held.

Called as `sharded.py SPEC STEPS OUT`; SHARD in the environment says that weights are in shards.
"""

import json
import os
import sys
import time
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from dlc.runtime.data.load import load_data
from dlc.runtime.spec import read_checked
from dlc.runtime.train.loop import Loop, Stepped
from dlc.runtime.train.making import make_task
from dlc.runtime.train.several.team import Several, joined_team, leave
from dlc.runtime.train.team import ALONE


def _bytes(value: Any) -> int:
    if not isinstance(value, torch.Tensor):
        return 0
    untyped: Any = value
    return untyped.to_local().nbytes if hasattr(untyped, "to_local") else untyped.nbytes


class Memory:
    """The bytes of weights, gradients and optimisers' states while an update is made, and of what is whole then."""

    def __init__(self) -> None:
        self.most = 0

    def see(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        held = sum(_bytes(weight) + _bytes(weight.grad) for weight in weights)
        held += sum(_bytes(each) for state in optimizer.state.values() for each in state.values())
        self.most = max(self.most, held)


def _peak() -> int:
    """The most that this process has had in memory, in bytes."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def main(spec: str, steps: str, out: str) -> None:
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    memory = Memory()
    register_optimizer_step_post_hook(memory.see)
    with joined_team(torch.device("cpu")) if "WORLD_SIZE" in os.environ else nullcontext(ALONE) as team:
        chosen = read_checked(spec).trains["Fit"]
        task = make_task(
            chosen, load_data(chosen.data, Path(spec).parent, chosen.settings.seed), torch.device("cpu"), team
        )
        block = 0
        if "SHARD" in os.environ:
            from dlc.runtime.train.several.shards import blocks, shard

            assert isinstance(team, Several)
            team.shards = True
            whole = [
                sum(w.nbytes for w in part.parameters()) for net in task.instances.values() for part in blocks(net)
            ]
            shard(chosen, task.instances, team)
            block = max(whole)
        loop = Loop(task, chosen.settings)
        losses: list[float | None] = []
        times = [time.perf_counter()]
        for event in loop.events():
            if isinstance(event, Stepped):
                losses.append(event.loss)
                times.append(time.perf_counter())
            if len(losses) == int(steps):
                break
        step = median(after - before for before, after in pairwise(times))
        found = {"losses": losses, "held": memory.most, "block": block, "peak": _peak(), "step": step}
        Path(f"{out}.{team.rank}").write_text(json.dumps(found))
    leave(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
