"""A team of processes over `torch.distributed`: gloo between processors, NCCL between GPUs."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import torch
import torch.distributed
from torch import Tensor

from dlc.runtime.train.several.launch import LAUNCHER, STORE
from dlc.runtime.train.team import Share, Team

if TYPE_CHECKING:
    from dlc.runtime.data.examples import Rows
    from dlc.runtime.train.metrics import Measured

T = TypeVar("T")
_dist: Any = torch.distributed  # whose types leave most of it open

BUCKET = 25 * 2**20  # bytes that are sent together, as in PyTorch's DistributedDataParallel
_PATIENCE = timedelta(minutes=30)  # while one process writes a checkpoint, the others wait


# What PyTorch's errors say of a connection that broke.
_BROKEN = ("Connection closed by peer", "Connection reset by peer", "gloo/transport", "Broken pipe", "NCCL error")


class LostPeerError(Exception):
    """Another process of the team has gone. It is that one's error that counts."""


@contextmanager
def reaching() -> Generator[None, None, None]:
    """Turns what PyTorch says of a connection that broke into a LostPeerError."""
    try:
        yield
    except RuntimeError as error:
        raise LostPeerError(str(error).splitlines()[0]) from error


class Several(Team):
    """The processes of this training, this one being number `rank` of `size`."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.rank = int(_dist.get_rank())
        self.size = int(_dist.get_world_size())
        self.now = Share(1, 0, 1)

    def shares(self, batches: Iterable[Rows]) -> Iterator[Rows]:
        for rows in batches:
            count = rows.stop - rows.start if isinstance(rows, slice) else len(rows)
            yield self.share(count).of(rows)

    @contextmanager
    def batch(self, count: int) -> Generator[Share, None, None]:
        before, self.now = self.now, self.share(count)
        try:
            yield self.now
        finally:
            self.now = before

    def part(self, values: Mapping[str, Measured], share: Share, sums: Collection[str]) -> Mapping[str, Measured]:
        def own(name: str, value: Measured) -> Measured:
            match value:
                case list():
                    return [each[:0] for each in value] if share.idle else value
                case tuple():
                    return tuple(each * 0 for each in value) if share.idle else value
                case _:
                    return value * (float(not share.idle) if name in sums else share.weight)

        return {name: own(name, value) for name, value in values.items()}

    def add_(self, tensors: Sequence[Tensor]) -> None:
        kinds: dict[torch.dtype, list[Tensor]] = {}
        for tensor in tensors:
            kinds.setdefault(tensor.dtype, []).append(tensor)
        sent: list[tuple[Any, Tensor, list[Tensor]]] = []
        with reaching():
            for alike in kinds.values():
                for bucket in _buckets(alike):
                    flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
                    sent.append((_dist.all_reduce(flat, async_op=True), flat, bucket))
            for work, flat, bucket in sent:
                work.wait()
                untyped: Any = flat
                for tensor, summed in zip(bucket, untyped.split([tensor.numel() for tensor in bucket]), strict=True):
                    tensor.copy_(summed.view_as(tensor))

    def gather_(self, gradients: Sequence[Tensor]) -> None:
        if not self.shards:
            self.add_(gradients)

    def total(self, values: Sequence[float]) -> list[float]:
        return self.sum_of(torch.tensor(values, dtype=torch.float64)).tolist()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]

    def sum_of(self, values: Tensor) -> Tensor:
        """The sum over all processes, on the device of the team."""
        sent = values.to(self.device, copy=True)
        with reaching():
            _dist.all_reduce(sent)
        return sent

    def join(self, tensor: Tensor) -> Tensor:
        counts = torch.zeros(self.size, dtype=torch.int64)
        counts[self.rank] = len(tensor)
        lengths = [int(count) for count in self.sum_of(counts)]
        as_sent = tensor.to(torch.uint8) if tensor.dtype is torch.bool else tensor
        padded = torch.zeros(max(lengths), *tensor.shape[1:], dtype=as_sent.dtype, device=self.device)
        padded[: len(tensor)] = as_sent
        found = [torch.empty_like(padded) for _ in lengths]
        with reaching():
            _dist.all_gather(found, padded)
        joined = torch.cat([each[:length] for each, length in zip(found, lengths, strict=True)])
        return joined.to(tensor.device, tensor.dtype)

    def any(self, *flags: bool) -> tuple[bool, ...]:
        return tuple(bool(total) for total in self.total([float(flag) for flag in flags]))

    def texts(self, text: str) -> list[str]:
        data = text.encode()
        lengths = torch.zeros(self.size, dtype=torch.int64)
        lengths[self.rank] = len(data)
        untyped: Any = self.sum_of(lengths).cumsum(0)
        ends: list[int] = untyped.tolist()
        told = bytes(self.join(torch.frombuffer(bytearray(data), dtype=torch.uint8)).tolist())  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        return [told[start:end].decode() for start, end in zip([0, *ends], ends, strict=False)]

    def lost(self, error: Exception) -> Exception | None:
        broken = any(word in str(error) for word in _BROKEN)
        return LostPeerError(str(error).splitlines()[0]) if broken else None

    def lead(self, act: Callable[[], T]) -> T:
        if self.leads:
            found = act()
            self.total([0.0])
            return found
        self.total([0.0])
        return act()


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    held = 0
    for tensor in tensors:
        if bucket and held + tensor.nbytes > BUCKET:
            yield bucket
            bucket, held = [], 0
        bucket.append(tensor)
        held += tensor.nbytes
    if bucket:
        yield bucket


@contextmanager
def _following() -> Generator[None, None, None]:
    """Asks this process to stop when the one that started it has gone."""
    launcher, ended = int(os.environ.get(LAUNCHER, "0")), threading.Event()

    def follow() -> None:
        while not ended.wait(0.5):
            if os.getppid() != launcher:
                os.kill(os.getpid(), signal.SIGTERM)
                return

    thread = threading.Thread(target=follow, name="launcher", daemon=True)
    if launcher:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if launcher:
            thread.join()


@contextmanager
def joined_team(device: torch.device) -> Generator[Several, None, None]:
    """The team that the environment tells of: RANK and WORLD_SIZE, and where the processes meet, which for torchrun is
    MASTER_ADDR and MASTER_PORT."""
    store = os.environ.get(STORE)
    named: dict[str, Any] = {"init_method": f"file://{store}" if store else "env://"}
    named |= {"rank": int(os.environ["RANK"]), "world_size": int(os.environ["WORLD_SIZE"]), "timeout": _PATIENCE}
    # Its functions hold, as their defaults, the group that is there when it is first imported, and PyTorch's compiler
    # imports it. Held so, the group and its threads would live to the interpreter's end (see `leave`).
    import_module("torch.distributed.nn.functional")
    with reaching():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        _dist.init_process_group("nccl" if device.type == "cuda" else "gloo", **named)
    team = Several(device)
    try:
        with _following():
            yield team
        team.total([0.0])  # what one still has to send, the others must be there for
    except RuntimeError as error:
        raise team.lost(error) or error from error
    finally:
        _dist.destroy_process_group()


def leave(status: int) -> NoReturn:
    """Ends this process, its part in a team being done and all that it has to say being written.

    Weights in shards hold the process group. Held at the interpreter's own end, a thread of it that lets go of the last
    tensor that was sent may wait for the interpreter, which ends threads that do, and that aborts the process.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
