"""Specs and the PyTorch source that is made of them. DLC_UPDATE_GOLDEN=1 rewrites the sources, to be read then."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dlc.compiler.graph import weights_of
from dlc.compiler.torch.emit import emit_fields, emit_graph, emit_training

from .specs import assert_owns, module, program, run

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden" / "torch"
EXAMPLES = ROOT / "tests" / "examples"
MODULES = {
    "std.transformer": (ROOT / "specs" / "std" / "transformer.dl").read_text(),
    "classifier": (EXAMPLES / "classifier.dl").read_text(),
}
MODELS = ("classifier", "gpt", "gru", "inception", "kalman", "unet", "wavenet")
TRAININGS = ("ddpm", "gan", "hopfield", "maml", "rbm", "ridge", "trades", "vae")
WHOLE = [EXAMPLES / f"{name}.dl" for name in (*MODELS, *TRAININGS)]
SPECS = {path.stem: path for path in [*GOLDEN.glob("*.dl"), *WHOLE]}


def text_of(name: str) -> str:
    return "\n".join(line for line in SPECS[name].read_text().split("\n") if "ensure" not in line)


def source_of(name: str) -> str:
    checked = program(text_of(name), f"{name}.dl", **MODULES)
    if checked.trains:
        return emit_training(next(iter(checked.trains.values())))
    if checked.data:
        (data,) = checked.data.values()
        return emit_fields(data)
    return emit_graph(list(checked.models.values())[-1].graph)


@pytest.mark.parametrize("name", sorted(SPECS))
def test_source_is_as_it_was_read(name: str) -> None:
    path = GOLDEN / f"{name}.py"
    source = source_of(name)
    if os.environ.get("DLC_UPDATE_GOLDEN"):
        path.write_text(source)
    assert source == path.read_text()


@pytest.mark.parametrize("name", sorted(SPECS))
def test_source_needs_no_formatting(name: str) -> None:
    source = source_of(name)
    ruff = [sys.executable, "-m", "ruff"]
    options = ["--isolated", "--line-length", "100", "-"]
    formatted = subprocess.run([*ruff, "format", *options], input=source, capture_output=True, text=True, check=True)
    assert formatted.stdout == source
    check = [*ruff, "check", "--select", "E,F,W,I,B,C4,UP,SIM,PIE,N", "--ignore", "N803,N806,N812"]
    found = subprocess.run([*check, *options], input=source, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("name", sorted(SPECS))
def test_source_runs_and_owns_the_weights_of_the_graph(name: str) -> None:
    checked = program(text_of(name), f"{name}.dl", **MODULES)
    names = run(source_of(name))
    for train in checked.trains.values():
        instances = names["build"]()
        assert list(instances) == list(train.instances)
        for instance, built in instances.items():
            assert_owns(built, dict(weights_of({instance: train.instances[instance]})), f"{instance}.")
    if not checked.trains and not checked.data:
        module(text_of(name), **MODULES)


@pytest.mark.parametrize("name", sorted(SPECS))
def test_source_is_the_same_each_time(name: str) -> None:
    assert source_of(name) == source_of(name)
