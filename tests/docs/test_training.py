"""The pages on training say what the classes and the compiler have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dlc.compiler.optimizers import Optimizer
from dlc.compiler.schedules import Schedule
from dlc.compiler.settings import Settings
from dlc.compiler.torch.emit import emit_training
from dlc.grammar.diagnostics import Sink
from dlc.grammar.format import format_file
from dlc.grammar.parse import parse
from dlc.grammar.source import Source
from dlc.runtime.show.settings import reference
from dlc.runtime.spec import read_checked

ROOT = Path(__file__).parents[2]
TRAINING, STEPS = ((ROOT / "docs" / name).read_text() for name in ("training.md", "steps.md"))
EXAMPLES = ROOT / "tests" / "examples"


def test_the_settings_are_those_of_the_classes() -> None:
    assert reference() == TRAINING, "write it again: python -m dlc.runtime.show.settings docs/training.md"


def test_every_setting_optimiser_and_schedule_is_there() -> None:
    for name in Settings.fields():
        assert f"\n| `{name}` |" in TRAINING
    for name in (*Optimizer.choices(), *Schedule.choices()):
        assert f"\n### `{name}`\n" in TRAINING


def test_the_example_of_settings_is_checked(tmp_path: Path) -> None:
    (text,) = re.findall(r"^```dl\n((?:.*\n)*?)```$", TRAINING, re.MULTILINE)
    (tmp_path / "spec.dl").write_text(text)
    settings = read_checked(tmp_path / "spec.dl").trains["Fit"].settings
    assert settings.stop_early is not None
    assert settings.checkpoint.keep == 3
    assert format_file(parse(Source("spec.dl", text), Sink())) == text


def test_links_lead_to_headings() -> None:
    headings = {title.lower().replace(" ", "-") for title in re.findall(r"^## (.*)$", TRAINING, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([\w-]+)\)", TRAINING)) <= headings
    assert (ROOT / "docs/steps.md").exists()


@pytest.mark.parametrize("name", ["gan", "maml", "trades", "ddpm"])
def test_steps_are_what_is_emitted(name: str) -> None:
    """Where the compiler writes a step otherwise, the page is edited by hand: it is to be read, not only kept equal."""
    (spec,) = read_checked(EXAMPLES / f"{name}.dl").trains.values()
    section = STEPS.partition(f"\n## {spec.name}\n")[2].partition("\n## ")[0]
    (shown,) = re.findall(r"^```python\n((?:.*\n)*?)```$", section, re.MULTILINE)
    assert f"\n\n\n{shown}" in f"{emit_training(spec)}\n"
    (written,) = re.findall(r"^```dl-step\n((?:.*\n)*?)```$", section, re.MULTILINE)
    lines = [line.strip() for line in written.splitlines()]
    spec_lines = [line.strip() for line in (EXAMPLES / f"{name}.dl").read_text().splitlines()]
    start = spec_lines.index("step:")
    assert spec_lines[start : start + len(lines)] == lines
