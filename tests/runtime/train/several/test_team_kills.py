"""One of two processes that train together is killed (-9), at random moments: the other ends by itself, two others go
on, and every training ends in the weights of one that nothing stopped.

With DLC_LONG=1 in the environment there are more than 50 kills, else a few. As in `test_kills`, a server that has
imported all it needs forks the processes.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import pytest

from dlc.runtime.train.rehearsal import hashes
from tests.runtime.train.several.specs import fit

MSE = "guess = net(x)\n        minimize mse(guess, y)\n        report error = mean(abs(guess - y))"
SPECS = {
    "ema": fit(MSE, settings="checkpoint = (steps=1)\n        average = ema(0.95)\n        accumulate = 2"),
    "gan": fit(
        """fake = G(normal_like(x))
        minimize bce(D(y), ones(N)) + bce(D(stop(fake)), zeros(N)) over D
        minimize bce(D(fake), ones(N)) over G using sgd(lr=0.05, momentum=0.5)""",
        net="G = Net()\n    D = Judge()",
        settings="checkpoint = (steps=1)",
    ),
    "bucketing, augmentation and streaming": fit(MSE, settings="checkpoint = (steps=1)\n        bucket = k").replace(
        "    noise: float[2]",
        "    k: int[] < 9 = randint(below=9)\n    augment:\n        x = x + 0.1 * normal_like(x)\n    noise: float[2]",
    ),
    "shards": fit(MSE, net="Plain", settings="checkpoint = (steps=1)\n        optimizer = adam(lr=1e-2)"),
}

SERVER = """
import os
import sys

import torch
from dlc.runtime.spec import read_checked
from dlc.runtime.train.run import Run
from dlc.runtime.train.several import draws, norms, plan, shards, sharing, taking
from dlc.runtime.train.several.team import LostPeerError, joined_team
from dlc.runtime.train.trainer import train
import dlc.compiler.torch.emit, torch.optim, torch._dynamo, dlc.runtime.report.write


def go(spec, folder, store, rank):
    import gc
    from pathlib import Path
    gc.enable()
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "DLC_STORE": store, "GLOO_SOCKET_IFNAME": "lo"}
    if "streaming" in spec and "killed" in folder:  # what nothing stops has all data in memory
        os.environ["DLC_DATA_MEMORY"] = "0"
    with joined_team(torch.device("cpu")) as team:
        team.shards = "shards" in spec
        program = read_checked(spec)
        chosen = program.trains["Fit"]
        def find():
            return Run.open(folder) if Path(folder, "config.json").exists() else Run.create(folder, program, chosen)
        train(chosen, program, team.lead(find), resume=True, quiet=True, device="cpu", report=False, team=team)


for line in sys.stdin:
    children = []
    for rank in range(2):
        child = os.fork()
        if not child:
            code = 1
            try:
                go(*line.rstrip("\\n").split("\\t"), rank)
                code = 0
            except LostPeerError:
                code = 75
            except BaseException:
                import traceback
                traceback.print_exc()
            finally:
                os._exit(code)
        children.append(child)
    print(*children, flush=True)
    codes = {}
    for _ in children:
        child, status = os.wait()
        codes[child] = os.waitstatus_to_exitcode(status)
    print(*(codes[child] for child in children), flush=True)
"""


class Server:
    """Starts two processes for each training."""

    def __init__(self, folder: Path) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        self._server = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=pipe, stdout=pipe, text=True, env=environment
        )
        self._folder = folder
        self._count = 0

    def train(self, spec: Path, folder: Path, dies: tuple[int, float] | None = None) -> tuple[list[int], float, float]:
        """Trains, or goes on. dies: which of the two is killed, and after how many seconds. Gives the exit codes, how
        many seconds all took, and how many of them after the kill."""
        server = self._server
        assert server.stdin is not None
        assert server.stdout is not None
        self._count += 1
        server.stdin.write(f"{spec}\t{folder}\t{self._folder / f'store-{self._count}'}\n")
        server.stdin.flush()
        processes = [int(word) for word in server.stdout.readline().split()]
        started = killed = time.monotonic()
        if dies is not None:
            handle = os.pidfd_open(processes[dies[0]])
            time.sleep(dies[1])
            with suppress(ProcessLookupError):  # it was faster
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.close(handle)
            killed = time.monotonic()
        codes = [int(word) for word in server.stdout.readline().split()]
        return codes, time.monotonic() - started, time.monotonic() - killed

    def close(self) -> None:
        self._server.communicate()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server, None, None]:
    made = Server(tmp_path_factory.mktemp("stores"))
    yield made
    made.close()


def finished(folder: Path) -> bool:
    """Whether the last checkpoint is that of the end."""
    state = folder / "state.json"
    return state.exists() and bool(json.loads(state.read_text())["finished"])


CHOSEN = [(name, 13) for name in SPECS] if os.environ.get("DLC_LONG") else [("ema", 2), ("shards", 1)]


@pytest.mark.parametrize(("name", "kills"), CHOSEN)
def test_a_training_of_two_ends_as_if_none_had_been_killed(
    name: str, kills: int, server: Server, tmp_path: Path
) -> None:
    spec = tmp_path / f"{name}.dl"
    spec.write_text(SPECS[name])
    codes, seconds, _ = server.train(spec, tmp_path / "whole")
    assert codes == [0, 0]
    due = hashes(tmp_path / "whole")
    chance = random.Random(name)
    done, runs, longest = 0, 0, 0.0
    while done < kills:
        folder = tmp_path / f"killed-{runs}"
        runs += 1
        codes = [1, 1]
        while done < kills:
            rank = chance.randrange(2)
            codes, _, left = server.train(spec, folder, (rank, chance.uniform(0.2, 0.9) * seconds))
            if codes == [0, 0]:  # it was faster
                break
            # One that is killed while the last one is about to end has nobody who misses it.
            assert codes[rank] == -signal.SIGKILL
            assert codes[1 - rank] in (0, 75)
            longest = max(longest, left)
            done += 1
            if finished(folder):
                break
        if codes != [0, 0] and not finished(folder):
            codes, *_ = server.train(spec, folder)
            assert codes == [0, 0]
        assert hashes(folder) == due
    assert longest < 30
    print(f"{name}: {done} kills in {runs} trainings, the others gone within {longest:.1f} s")
