"""Every spec of the tutorial is right, or wrong as the page says, and every command of it does what it should."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from dlc.grammar.diagnostics import Sink
from dlc.grammar.format import format_file
from dlc.grammar.parse import parse
from dlc.grammar.source import Source
from dlc.runtime.cli.group import commands

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text()
FILES = {found[1]: found[2] for found in re.finditer(r"^`(\S+\.dl)`\n```dl.*\n((?:.*\n)*?)```$", PAGE, re.MULTILINE)}
SECTIONS = {text.split("\n", 1)[0]: text for text in PAGE.split("\n## ")[1:]}
TRAININGS = {found[1]: found[0] for found in re.finditer(r"^dlc train .*-o (runs/\S+).*$", PAGE, re.MULTILINE)}


def run(command: str) -> tuple[int, str]:
    """A command's exit code and what it reports; one epoch is enough of a training."""
    arguments = command.split()[1:] + (["--epochs", "1", "--quiet"] if command.startswith("dlc train") else [])
    told = CliRunner().invoke(commands, arguments)
    return told.exit_code, told.stderr


@pytest.mark.parametrize("title", SECTIONS)
def test_commands(title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(name).write_text(text)
    found = re.findall(r"^```sh( fails)?\n((?:.*\n)*?)```$", SECTIONS[title], re.MULTILINE)
    asked = [(command, bool(fails)) for fails, block in found for command in block.splitlines()]
    trained = {name for name, training in TRAININGS.items() if (training, False) in asked}
    used = {name for command, _ in asked for name in re.findall(r"runs/\w+", command)}
    for command, fails in [*((TRAININGS[name], False) for name in sorted(used - trained)), *asked]:
        code, told = run(command)
        assert (code != 0) == fails, f"{command}\n{told}"
        assert not fails or told.strip().removesuffix("1 error").strip() in SECTIONS[title]


@pytest.mark.parametrize("name", FILES)
def test_specs_are_laid_out(name: str) -> None:
    assert format_file(parse(Source(name, FILES[name]), Sink())) == FILES[name]


def test_there_are_ten_steps() -> None:
    assert len(SECTIONS) == 10
