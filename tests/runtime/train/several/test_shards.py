"""Weights in shards: the same losses, a part of the memory, and a run that is one folder as any other.

With DLC_LONG=1 in the environment a GPT of 300 million weights takes a few steps, which need 8 GB.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from dlc.runtime.train.run import Run
from dlc.runtime.train.start import start
from dlc.runtime.train.trainer import evaluate, train
from dlc.runtime.trained import trained_model
from tests.runtime.train.several.specs import SPECS, fit
from tests.runtime.train.several.test_launch import dlc, measures

SCRIPT = Path(__file__).parent / "sharded.py"
STEP = "logits = net(start[:, :8])\n        minimize cross_entropy(logits, start[:, 1:])"


def gpt(width: int, layers: int, vocabulary: int = 11) -> str:
    text = fit(STEP, net="GPT", data="Words", batch="8", settings="optimizer = adamw(lr=1e-3)\n        clip_norm = 1.0")
    text = (
        text.replace("T, 16]", f"T, {width}]")
        .replace("16 //", f"{width} //")
        .replace("linear(48)", f"linear({3 * width})")
    )
    text = text.replace("reshape(N, T, 16)", f"reshape(N, T, {width})").replace("linear(h, 16)", f"linear(h, {width})")
    text = text.replace("linear(32) -> gelu -> linear(16)", f"linear({4 * width}) -> gelu -> linear({width})")
    text = text.replace("embedding(tokens, 11, 16)", f"embedding(tokens, {vocabulary}, {width})")
    return text.replace("range(2)", f"range({layers})")


def stepped(spec: Path, steps: int, processes: int, **more: str) -> list[dict[str, Any]]:
    out = spec.parent / f"out-{processes}-{len(more)}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", **more}
    if processes > 1:
        environment |= {"WORLD_SIZE": str(processes), "DLC_STORE": f"{out}.store"}
    command = [sys.executable, str(SCRIPT), str(spec), str(steps), str(out)]
    started = [
        subprocess.Popen(command, env={**environment, "RANK": str(rank)}, stderr=subprocess.PIPE, text=True)
        for rank in range(processes)
    ]
    for process in started:
        _, told = process.communicate(timeout=500)
        assert process.returncode == 0, told
    return [json.loads(Path(f"{out}.{rank}").read_text()) for rank in range(processes)]


def compared(spec: Path, steps: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What one process gave and what each of two with shards did, whose losses are the same."""
    (alone,) = stepped(spec, steps, 1)
    together = stepped(spec, steps, 2, SHARD="1")
    for each in together:
        assert each["losses"] == pytest.approx(alone["losses"], rel=1e-5)
    assert len(alone["losses"]) == steps
    return alone, together


def test_each_of_two_processes_holds_half(tmp_path: Path) -> None:
    (tmp_path / "spec.dl").write_text(gpt(64, 12))
    alone, together = compared(tmp_path / "spec.dl", 6)
    for each in together:
        # at an update, and while a block's weights and gradients are whole before it
        assert each["held"] <= 0.51 * alone["held"]
        assert each["held"] + 2 * each["block"] <= 0.6 * alone["held"]


@pytest.mark.skipif("DLC_LONG" not in os.environ, reason="takes minutes, and 8 GB")
def test_a_gpt_of_300_million_weights_takes_a_few_steps(tmp_path: Path) -> None:
    (tmp_path / "spec.dl").write_text(gpt(1024, 24))
    alone, together = compared(tmp_path / "spec.dl", 3)
    print(f"{alone['held'] / 16:,.0f} weights; alone {alone}; in shards {together}")
    assert alone["held"] >= 16 * 300e6
    for each in together:
        assert each["held"] + 2 * each["block"] <= 0.6 * alone["held"]


def test_a_sharded_run_is_a_run(tmp_path: Path) -> None:
    spec = tmp_path / "spec.dl"
    spec.write_text(SPECS["gpt"].replace("steps = 50", "epochs = 2").replace("accumulate = 3", "accumulate = 2"))
    run, alone = tmp_path / "shards", tmp_path / "alone"
    dlc("train", spec, "-o", run, "--device", "cpu", "--devices", "2", "--shard")
    go_on(spec, alone)
    for ours, theirs in zip(measures(run), measures(alone), strict=True):
        assert ours["train"] == pytest.approx(theirs["train"], rel=1e-5)
    for name in ("model.safetensors", "state.safetensors"):
        ours, theirs = load_file(run / name), load_file(alone / name)
        assert {path: value.shape for path, value in ours.items()} == {p: v.shape for p, v in theirs.items()}
    assert evaluate(Run.open(run), "valid", device="cpu") == pytest.approx(measures(run)[-1]["valid"], rel=1e-6)
    assert trained_model(Run.open(run)).weights.keys() == trained_model(Run.open(alone)).weights.keys()
    go_on(spec, run, epochs=3)  # by one process
    go_on(spec, alone, epochs=3)
    assert measures(run)[-1]["train"] == pytest.approx(measures(alone)[-1]["train"], rel=1e-4)


def go_on(spec: Path, folder: Path, epochs: int | None = None) -> None:
    program, chosen, run = start(spec, lambda program: program.trains["Fit"], folder, {}, resume=True)
    train(chosen, program, run, epochs=epochs, resume=True, quiet=True, device="cpu", report=False)


def test_what_shards_cannot_do_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spec.dl").write_text(SPECS["gan"])
    given = ["train", tmp_path / "spec.dl", "-o", tmp_path / "run", "--device", "cpu", "--devices", "2", "--shard"]
    _, told = dlc(*given, expects=1)
    assert told.count("error[DL8025]: the weights cannot be cut into shards: the step has another loss") == 1
