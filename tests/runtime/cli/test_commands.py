"""The frame around the commands: names, help, usage errors, exit codes."""

import pytest
from click.testing import CliRunner

from dlc.runtime.cli.group import COMMANDS, commands


def invoke(*arguments: str):
    return CliRunner().invoke(commands, arguments)


def test_help_lists_every_command() -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    for name, line in COMMANDS.items():
        assert name in result.stdout
        assert line in result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_the_listed_lines_are_those_of_the_commands(name: str) -> None:
    with commands.make_context("dlc", [name, "--help"], resilient_parsing=True) as context:
        command = commands.get_command(context, name)
    assert command is not None
    assert command.name == name
    assert command.short_help == COMMANDS[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(name: str) -> None:
    result = invoke(name, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


def test_a_misspelt_command_gets_the_nearest() -> None:
    result = invoke("chekc")
    assert result.exit_code == 2
    assert "there is no command `chekc`; did you mean `check`?" in result.stderr
    assert result.stdout == ""


def test_wrong_usage_exits_with_2() -> None:
    assert invoke("check").exit_code == 2
    assert invoke("check", "--nope", "a.dl").exit_code == 2
    assert invoke("compile", "a.dl", "--to", "cobol").exit_code == 2
    assert invoke("show", "a.dl", "--set", "width").exit_code == 2
