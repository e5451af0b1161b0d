"""Weights, gradients and optimisers' states in shards, one a process: PyTorch's FSDP2, block by block.

Each process keeps its part of every weight, fetches a block's weights whole when that block is computed, and keeps of
its gradients the part that it updates (Zhao and others, "PyTorch FSDP", 2023; Rajbhandari and others, "ZeRO", 2020).
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import fsdp, tensor
from torch.distributed.device_mesh import init_device_mesh

from dlc.compiler.graph import Assign, Call, Functional, Gradient, ReadModel, ReadWeight
from dlc.compiler.optimizers import LBFGS, Muon
from dlc.compiler.program import Minimize, TrainSpec
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.errors import CannotShard
from dlc.runtime.train.several.team import Several

_fsdp: Any = fsdp  # whose functions have types that leave much open
_tensor: Any = tensor

_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def shard(spec: TrainSpec, instances: Mapping[str, nn.Module], team: Several) -> None:
    """Cuts the weights of all instances into shards. Raises Refusal where the step has a use for whole ones."""
    _require_shardable(spec)
    # Emitted code changes nothing in place, so that a view may well be what a network returns.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor", UserWarning)
    mesh = init_device_mesh(team.device.type, (team.size,))
    for instance in instances.values():
        for part in (*blocks(instance), instance):
            sharded = _fsdp.fully_shard(part, mesh=mesh)
            sharded.set_gradient_divide_factor(1.0)  # parts of a loss add up
            sharded.set_force_sum_reduction_for_comms(True)  # gloo has no other


def blocks(instance: nn.Module) -> Iterator[nn.Module]:
    """The parts that are fetched one at a time: the items of lists, or else the parts that have parts of their own."""
    lists = [part for part in instance.modules() if isinstance(part, nn.ModuleList)]
    items = [item for part in lists for item in part]
    found = items or [part for part in instance.children() if any(True for _ in part.children())]
    yield from (part for part in found if any(True for _ in part.parameters()))


def _require_shardable(spec: TrainSpec) -> None:
    graph, effects = spec.step.graph, [effect for _, effect in spec.step.effects]
    losses = [effect for effect in effects if isinstance(effect, Minimize)]
    if len(losses) != 1 or losses[0].over or losses[0].using is not None:
        raise Refusal(_cannot("the step has another loss than one of all weights", spec))
    for node in graph.nodes:
        whole = isinstance(node.action, Assign | Functional | Gradient | ReadModel | ReadWeight)
        if whole or (node.module is not None and not (isinstance(node.action, Call) and node.module in spec.instances)):
            raise Refusal(_cannot("the step uses a part of a network by itself", spec, node.span))
    if isinstance(spec.settings.optimizer, LBFGS | Muon):
        raise Refusal(_cannot(f"{spec.settings.optimizer.name} needs whole matrices", spec))


def _cannot(why: str, spec: TrainSpec, span: Any = None) -> CannotShard:
    help = "without --shard each process keeps all weights"
    return CannotShard(f"the weights cannot be cut into shards: {why}", span or spec.span, help=help)


# --- shards and whole tensors -----------------------------------------------------------------------------------


def whole(value: Tensor) -> Tensor:
    """A tensor that is in shards, put together on each process, which all ask for it."""
    untyped: Any = value
    return untyped.full_tensor() if isinstance(value, _tensor.DTensor) else value


def sharded_like(value: Tensor, weight: Any) -> Tensor:
    """The shards of a whole tensor that each process has, cut as those of a weight are."""
    placed = value.to(weight.device)
    return _tensor.distribute_tensor(placed, weight.device_mesh, weight.placements, src_data_rank=None)


def follow(tensors: Mapping[str, Tensor]) -> None:
    """What `write_whole` has the other processes do."""
    for name in sorted(tensors):
        whole(tensors[name])


def write_whole(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Writes tensors into a .safetensors file, each put together when its turn has come. Gives the file's SHA-256."""
    header: dict[str, Any] = {}
    place = 0
    for name in sorted(tensors):
        size = tensors[name].numel() * tensors[name].element_size()
        shape = list(tensors[name].shape)
        header[name] = {"dtype": _DTYPES[tensors[name].dtype], "shape": shape, "data_offsets": [place, place + size]}
        place += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with open(path, "xb") as file:
        for data in _parts(text, tensors):
            digest.update(data)
            file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _parts(header: bytes, tensors: Mapping[str, Tensor]) -> Iterator[bytes]:
    yield len(header).to_bytes(8, "little")
    yield header
    for name in sorted(tensors):
        own = whole(tensors[name]).detach().cpu().contiguous()
        yield own.reshape(-1).view(torch.uint8).numpy().tobytes()
