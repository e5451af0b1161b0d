"""Whether a step fits into memory, and the block whose activations are computed again where it would not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from dlc.compiler.graph import blocks_of
from dlc.compiler.memory.recording import TooManyCalls
from dlc.compiler.memory.records import Setting
from dlc.compiler.memory.training import Budget, sizes_by_name
from dlc.compiler.program import TrainSpec
from dlc.runtime.train.recomputing import recompute
from dlc.runtime.train.task import Task

SHARE = 0.9  # of what is free, which a step may take: allocators leave gaps

_LIMIT, _USED = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
_SYSTEM = Path("/proc/meminfo")


def free_bytes(device: torch.device) -> int | None:
    """What there is on a device for a step; None where nothing tells."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    found = [*_of_system(), *_of_group()]
    return min(found, default=None) if device.type == "cpu" else None


def _of_system() -> Iterator[int]:
    if _SYSTEM.exists():
        for line in _SYSTEM.read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                yield int(value.split()[0]) * 1024


def _of_group() -> Iterator[int]:
    """What a container leaves."""
    if _LIMIT.exists() and _USED.exists():
        limit = _LIMIT.read_text(encoding="ascii").strip()
        if limit != "max":
            yield int(limit) - int(_USED.read_text(encoding="ascii"))


def step_bytes(spec: TrainSpec, examples: int, device: torch.device, block: str | None = None) -> int | None:
    """The most that a step holds at once, with the activations of a block computed again; None where it cannot be
    told, as a size is open still."""
    settings = spec.settings
    setting = Setting(accelerator=device.type != "cpu", half=settings.precision != "fp32", recompute=block)
    try:
        budget = Budget(
            spec,
            setting,
            settings.optimizer,
            accumulates=settings.accumulate > 1,
            scaled=settings.precision == "fp16",
            averages=settings.average is not None,
        )
    except TooManyCalls:
        return None
    sizes = sizes_by_name(budget.symbols, {"N": examples})
    return None if budget.symbols - sizes.keys() else budget.at(sizes).total


def block_that_fits(spec: TrainSpec, examples: int, device: torch.device, free: int | None) -> str | None:
    """The block to recompute: none where a step fits as it is, nor where no block helps. Of those that make it fit the
    one that leaves the most memory taken, for the least is computed twice; else the one that leaves the least."""
    whole = step_bytes(spec, examples, device)
    if free is None or whole is None or whole <= SHARE * free:
        return None
    blocks = {block.graph.name for _, block in blocks_of(spec.instances)}
    taken = {block: step_bytes(spec, examples, device, block) for block in sorted(blocks)}
    helpful = {block: size for block, size in taken.items() if size is not None and size < whole}
    fitting = {block: size for block, size in helpful.items() if size <= SHARE * free}
    if fitting:
        return max(fitting, key=lambda block: fitting[block])
    return min(helpful, key=lambda block: helpful[block]) if helpful else None


def recompute_where_due(spec: TrainSpec, task: Task, device: torch.device, tell: Callable[[str], None]) -> None:
    """Has the block of `recompute` compute its activations again, or, where nothing is set and a step would not fit,
    the one that makes it fit. tell: is told of what is chosen here. By the plan "plain" nothing is."""
    settings = spec.settings
    if settings.recompute is not None:
        recompute(task.instances, spec, settings.recompute)
        return
    if settings.plan == "plain":
        return
    count = task.examples("train").count
    examples = count if settings.batch == "all" else min(settings.batch, count)
    free = free_bytes(device)
    block = block_that_fits(spec, examples, device, free)
    if block is not None and free is not None:
        recompute(task.instances, spec, block)
        tell(f"a step takes more than there is, {free / 2**30:.1f} GiB: {block} computes its activations again")
