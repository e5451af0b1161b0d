"""What docs/costs.md shows, against what the commands print."""

import re
from pathlib import Path

from click.testing import CliRunner

from dlc.runtime.cli.group import commands

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/costs.md").read_text()
PLACES = {"gpt.dl": "tests/examples/gpt.dl", "gpt2.dl": "specs/sequence/gpt2.dl", "digits.dl": "specs/vision/digits.dl"}


def test_what_is_shown_is_what_is_printed(tmp_path: Path) -> None:
    wider = tmp_path / "wider.dl"
    wider.write_text((ROOT / PLACES["digits.dl"]).read_text().replace("let width = 32", "let width = 48"))
    shown = re.findall(r"^```\n\$ dlc (.*)\n([\s\S]*?)```$", PAGE, re.M)
    assert len(shown) == 3
    for command, lines in shown:
        arguments = [_place(argument, wider) for argument in command.split()]
        printed = CliRunner().invoke(commands, arguments).stdout.splitlines()
        for line in lines.splitlines():
            assert line in printed or line == "…", (command, line)


def _place(argument: str, wider: Path) -> str:
    file, colon, name = argument.partition(":")
    if file == "wider.dl":
        return str(wider)
    return f"{ROOT / PLACES[file]}{colon}{name}" if file in PLACES else argument
