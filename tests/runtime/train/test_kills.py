"""Processes that are killed (-9) while they train, at random moments, and others that go on: every training ends as one
that nothing stopped.

With DLC_LONG=1 in the environment there are more than 100 kills, else a few. A server that has imported all it needs
forks a process for each training, so that a kill costs a fraction of a second; each is a process of its own that dies
in the middle of whatever it does, more often than not of writing a checkpoint.
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

DATA = """
model Net(x: float[N, 3], width = 8) -> (y: float[N, 2]):
    return x -> linear(width) -> batch_norm -> relu -> dropout(0.2) -> linear(2)

model Judge(y: float[N, 2]) -> (logit: float[N]):
    return y -> linear(8) -> leaky_relu(0.2) -> dropout(0.3) -> linear(1) -> squeeze(1)

model Smooth(x: float[N, 3]) -> (y: float[N, 2]):
    return x -> linear(8) -> relu -> linear(2)

data Points:
    source = generate(100)
    x: float[3] = normal(3)
    noise: float[2] = 0.1 * normal(2)
    y: float[2] = stack(sum(x), prod(x)) + noise
    split = (train=0.8, valid=0.2)
"""

FIT = """
train Fit on Points:
    net = Net()
    settings:
        batch = 16
        epochs = 8
        checkpoint = (steps=1)
        optimizer = adamw(lr=1e-2)
        {settings}
    step:
        guess = net(x)
        minimize mse(guess, y)
        report error = mean(abs(guess - y))
"""

OWN = """
train Fit on Points:
    {instances}
    settings:
        batch = 16
        epochs = 8
        checkpoint = (steps=1)
        optimizer = adam(lr=1e-2)
        {settings}
    step:
        {step}
"""

SPECS = {
    "gan": OWN.format(
        instances="G = Net()\n    D = Judge()",
        settings="average = ema(0.9)",
        step="""fake = G(normal_like(x))
        minimize bce(D(y), ones(N)) + bce(D(stop(fake)), zeros(N)) over D
        minimize bce(D(fake), ones(N)) over G using sgd(lr=0.05, momentum=0.5)""",
    ),
    "ema": FIT.format(settings="average = ema(0.95)\n        schedule = cosine(warmup=5)"),
    "swa and early stop": FIT.format(
        settings='average = swa(0.3)\n        stop_early = (patience=2, on="valid error")'
    ),
    "accumulation": FIT.format(settings="accumulate = 3\n        average = ema(0.9)"),
    "clipping": FIT.format(settings="clip_norm = 0.1\n        clip_value = 0.05"),
    "plateau": FIT.format(settings="schedule = plateau(factor=0.5, patience=0, warmup=3)"),
    "maml": OWN.format(
        instances="f = Smooth()",
        settings="accumulate = 2",
        step="""fast = f
        loop 2:
            fast = fast - 0.05 * grad(mse(fast(x), y), fast)
        report after = mse(fast(x), y)
        minimize mse(fast(x), y) over f""",
    ),
    "assignments": OWN.format(
        instances="student = Net()\n    teacher = Net()",
        settings="shuffle = true",
        step="""minimize mse(student(x), y) + mse(student(x + 0.1 * normal_like(x)), stop(teacher(x))) over student
        teacher := 0.9 * teacher + 0.1 * student
        report lag = mse(teacher(x), y)""",
    ),
}

SERVER = """
import os
import sys

from dlc.runtime.spec import read_checked
from dlc.runtime.train.run import Run
from dlc.runtime.train.trainer import train
import dlc.compiler.torch.emit, torch.optim, torch._dynamo  # all that a training imports where it uses it


def go(spec, folder):
    import gc
    from pathlib import Path
    gc.enable()
    program = read_checked(spec)
    spec = program.trains["Fit"]
    run = Run.open(folder) if Path(folder, "config.json").exists() else Run.create(folder, program, spec)
    train(spec, program, run, resume=True, quiet=True, device="cpu", report=False)


for line in sys.stdin:
    child = os.fork()
    if not child:
        code = 1
        try:
            go(*line.rstrip("\\n").split("\\t"))
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            os._exit(code)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Server:
    """Starts trainings, each in a process of its own."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", SERVER]
        pipe = subprocess.PIPE
        self._server = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)

    def train(self, spec: Path, folder: Path, dies_after: float | None = None) -> tuple[int, float]:
        """Trains, or goes on. Gives the exit code of the process and the seconds that it lived."""
        server = self._server
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(f"{spec}\t{folder}\n")
        server.stdin.flush()
        process = int(server.stdout.readline())
        started = time.monotonic()
        if dies_after is not None:
            handle = os.pidfd_open(process)
            time.sleep(dies_after)
            with suppress(ProcessLookupError):  # it was faster
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.close(handle)
        code = int(server.stdout.readline())
        return code, time.monotonic() - started

    def close(self) -> None:
        self._server.communicate()


@pytest.fixture(scope="module")
def server() -> Generator[Server, None, None]:
    made = Server()
    yield made
    made.close()


# A few by default; each of them more than a dozen times where there is time.
CHOSEN = [(name, 13) for name in SPECS] if os.environ.get("DLC_LONG") else [("gan", 2)]


@pytest.mark.parametrize(("name", "kills"), CHOSEN)
def test_a_training_that_is_killed_ends_as_if_it_had_not_been(
    name: str, kills: int, server: Server, tmp_path: Path
) -> None:
    spec = tmp_path / "spec.dl"
    spec.write_text(DATA + SPECS[name])
    code, seconds = server.train(spec, tmp_path / "whole")
    assert code == 0
    due = hashes(tmp_path / "whole")

    chance = random.Random(name)
    done, positions, runs = 0, set[int](), 0
    while done < kills:
        folder = tmp_path / f"killed-{runs}"
        runs += 1
        while done < kills:
            code, _ = server.train(spec, folder, dies_after=chance.uniform(0.3, 1.0) * seconds / 2)
            if code == 0:  # it was faster
                break
            assert code == -signal.SIGKILL
            done += 1
            if (folder / "state.json").exists():
                record = json.loads((folder / "state.json").read_text())
                positions.add(record["position"]["step"])
                if record["finished"]:
                    code = 0
                    break
        if code != 0:
            code, _ = server.train(spec, folder)
            assert code == 0
        assert hashes(folder) == due
    assert positions  # some died behind a checkpoint
    print(f"{name}: {done} kills in {runs} trainings, at steps {sorted(positions)}")
