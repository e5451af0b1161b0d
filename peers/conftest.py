"""Models of transformers, with random weights, against the specs with the same weights: `make peers`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from dlc.runtime.cli.group import commands
from dlc.runtime.emitted import load_module
from dlc.runtime.infer.session import Session

from .ours import MEASURED, Ours

SPECS = Path(__file__).parents[1] / "specs"


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[torch.nn.Module, str, str], Ours]:
    """Saves a model of transformers as it does itself, and compiles the spec with its weights."""

    def make(theirs: Any, spec: str, name: str) -> Ours:
        folder = tmp_path_factory.mktemp(name)
        theirs.save_pretrained(folder / "theirs")
        weights = str(folder / "theirs" / "model.safetensors")
        for stage, output in (("onnx", "ours.onnx"), ("torch", "ours.py")):
            options = ["--no-verify"] if stage == "onnx" else []
            arguments = ["compile", f"{SPECS / spec}.dl:{name}", "--to", stage, "-o", str(folder / output), *options]
            result = CliRunner().invoke(
                commands, [*arguments, "--weights", weights, "--map", f"{SPECS / spec}.map"], catch_exceptions=False
            )
            assert result.exit_code == 0, result.output
        module = getattr(load_module(name, (folder / "ours.py").read_text()), name)()
        module.load_state_dict(load_file(folder / "ours.safetensors"))
        return Ours(module.eval(), Session(folder / "ours.onnx"))

    return make


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints how far each output was from its peer's, and how large it gets."""
    terminalreporter.section("greatest differences")
    terminalreporter.write_line("\n".join(MEASURED))
