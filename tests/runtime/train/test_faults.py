"""What the world does to a training: a full disk, a folder that is read-only, a second training, a request to end.

Each is a process of its own on the command line, and meets the real thing, not a stand-in: limits of the system on the
size of files, permissions, locks, signals.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dlc.runtime.spec import read_checked
from dlc.runtime.train.checkpoint import Checkpoints
from dlc.runtime.train.rehearsal import hashes
from dlc.runtime.train.run import Run
from dlc.runtime.train.trainer import train

EPOCHS = 12
_DROP, _OVERRIDE = 24, 1  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE


def dlc(spec: Path, *options: str, before: Callable[[], None] | None = None) -> subprocess.Popen[str]:
    """`dlc train` of a spec into the folder `run` beside it."""
    command = [sys.executable, "-m", "dlc", "train", f"{spec}:Fit", "-o", str(spec.parent / "run"), "--device", "cpu"]
    pipe = subprocess.PIPE
    given = [*command, "--epochs", str(EPOCHS), *options]
    return subprocess.Popen(given, stdout=pipe, stderr=pipe, text=True, preexec_fn=before)  # noqa: PLW1509 (no threads)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


def reached(process: subprocess.Popen[str], folder: Path) -> None:
    """Waits until a training has written a checkpoint."""
    deadline = time.monotonic() + 60
    while not (folder / "model.safetensors").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def one_error(text: str) -> str:
    (line,) = [line for line in text.splitlines() if line.startswith("error[")]
    assert "Traceback" not in text
    return line


@pytest.fixture
def often(spec: Path) -> Path:
    """A spec with a checkpoint after every step."""
    spec.write_text(spec.read_text().replace("epochs = 4", "epochs = 4\n        checkpoint = (steps=1)"))
    return spec


def whole(spec: Path) -> dict[str, str]:
    """What a training ends with that nothing disturbs."""
    program = read_checked(spec)
    run = Run.create(spec.parent / "whole", program, program.trains["Fit"], epochs=EPOCHS)
    train(program.trains["Fit"], program, run, quiet=True, device="cpu", report=False)
    return hashes(run.folder)


def small_files() -> None:
    """Files may have 1200 bytes: those of a checkpoint are larger, the spec and the config are not."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1200, 1200))


def powerless() -> None:
    """Whoever may write everywhere gives it up."""
    ctypes.CDLL(None, use_errno=True).prctl(_DROP, _OVERRIDE, 0, 0, 0)


def test_a_training_that_everything_happens_to_ends_as_if_nothing_had(often: Path) -> None:
    folder = often.parent / "run"
    first = dlc(often)
    reached(first, folder)
    first.send_signal(signal.SIGSTOP)  # so that it is still there when a second comes
    code, errors = ended(dlc(often, "--resume", "-q"))
    assert code == 1
    assert one_error(errors) == f"error[DL8008]: another process is training in {folder}"

    first.send_signal(signal.SIGTERM)
    first.send_signal(signal.SIGCONT)
    output, errors = first.communicate(timeout=60)
    assert (first.returncode, errors) == (130, "")
    assert output.splitlines()[-1].startswith(f"{folder}: stopped after step ")

    before, _ = Checkpoints(folder).load()
    assert before is not None
    code, errors = ended(dlc(often, "--resume", "-q", before=small_files))
    assert code == 1
    assert one_error(errors).startswith(f"error[DL8013]: {folder}")
    assert "cannot be written: file too large" in errors
    after, damaged = Checkpoints(folder).load()
    assert damaged == []
    assert after is not None
    assert after.record["position"] == before.record["position"]

    places = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for path in places:
        path.chmod(0o555)
    try:
        code, errors = ended(dlc(often, "--resume", "-q", before=powerless))
    finally:
        for path in places:
            path.chmod(0o755)
    assert code == 1
    assert one_error(errors).startswith(f"error[DL8013]: {folder}")
    assert "cannot be written: permission denied" in errors

    assert ended(dlc(often, "--resume", "-q")) == (0, "")
    assert hashes(folder) == whole(often)


def test_a_full_disk_of_its_own(often: Path) -> None:
    """A file system of 32 KiB, where the system lets us have one."""
    folder = often.parent / "run"
    folder.mkdir()
    given = f"{sys.executable} -m dlc train {often}:Fit -o {folder} --device cpu -q --epochs {EPOCHS}"
    script = f"mount -t tmpfs -o size=32k none {folder} && {given}; code=$?; ls {folder}/checkpoints; exit $code"
    probe = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("no file systems of one's own here")
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=False)
    if "mount:" in done.stderr:
        pytest.skip("no file systems of one's own here")
    assert done.returncode == 1
    assert "cannot be written: no space left on device" in one_error(done.stderr)
    assert os.path.ismount(folder) is False
