"""Every mapping of the page on weights is read, and its example computes what its network does."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from dlc.grammar.diagnostics import Refusal
from dlc.grammar.source import Source
from dlc.runtime.cli.group import commands
from dlc.runtime.infer.session import Session
from dlc.runtime.mapping.parse import parse
from dlc.runtime.mapping.step import NAMES

PAGE = (Path(__file__).parent.parent.parent / "docs" / "weights.md").read_text()
BLOCKS = re.findall(r"^```(\S.*)\n((?:.*\n)*?)```$", PAGE, re.MULTILINE)
MAPS = [text for kind, text in BLOCKS if kind == "map"]


@pytest.mark.parametrize("text", MAPS)
def test_mappings(text: str) -> None:
    assert parse(Source("page.map", text))


def test_mistakes() -> None:
    for kind, text in BLOCKS:
        if kind == "map error":
            with pytest.raises(Refusal) as caught:
                parse(Source("page.map", text))
            (told,) = caught.value.diagnostics
            assert f"# {told.code}: {told.message}" == text.partition("\n")[0]


def test_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Callable[..., torch.Tensor]] = {}
    exec(next(text for kind, text in BLOCKS if kind == "python"), names)
    Path("net.dl").write_text(next(text for kind, text in BLOCKS if kind == "dl"))
    Path("net.map").write_text(MAPS[0])
    command = next(text for kind, text in BLOCKS if kind == "sh" and "net.dl" in text)
    result = CliRunner().invoke(commands, shlex.split(command)[1:], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    x = np.linspace(-1, 1, 24, dtype=np.float32).reshape(3, 8)
    expected = names["net"](torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(Session("net.onnx").run(x=x)["y"], expected, atol=1e-6)


def test_every_step_is_told() -> None:
    assert all(f"| `{name}" in PAGE for name in NAMES)
