import json
from pathlib import Path

from click.testing import CliRunner

import dlc.grammar
from dlc.runtime.cli.explain import MODULES
from dlc.runtime.cli.group import commands


def invoke(*arguments: str):
    return CliRunner().invoke(commands, ["explain", *arguments])


def test_a_code_is_explained_with_an_example() -> None:
    result = invoke("dl3002")
    assert result.exit_code == 0
    assert result.stdout.startswith("DL3002\n\nThe shapes of an operation's operands do not fit together")
    assert "    return x + y" in result.stdout


def test_the_list_holds_codes_of_every_room() -> None:
    lines = invoke().stdout.splitlines()
    codes = [line.split()[0] for line in lines]
    assert codes == sorted(codes)
    assert {code[:3] for code in codes} >= {"DL1", "DL2", "DL3", "DL4", "DL5", "DL6", "DL7", "DL8"}
    assert all(line.split(maxsplit=1)[1] for line in lines)


def test_no_module_of_errors_is_left_out() -> None:
    root = Path(dlc.grammar.__file__).parents[1]
    found = {
        ".".join(("dlc", *path.relative_to(root).with_suffix("").parts))
        for room in ("grammar", "compiler", "runtime")
        for path in (root / room).rglob("errors.py")
    }
    assert found == set(MODULES)


def test_an_enormous_example_is_cut() -> None:
    assert len(invoke("DL1018").stdout) < 10_000


def test_json() -> None:
    (document,) = json.loads(invoke("DL1001", "--json").stdout)
    assert document["code"] == "DL1001"
    assert document["explanation"]
    assert document["example"]


def test_an_unknown_code_gets_the_nearest() -> None:
    result = invoke("DL300")
    assert result.exit_code == 2
    assert "there is no code DL300; did you mean DL3001?" in result.stderr
