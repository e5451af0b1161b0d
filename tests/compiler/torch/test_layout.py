"""Long statements on several lines, as ruff lays them out."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from dlc.compiler.torch.layout import LIMIT, lines

NAME = "a_rather_long_name"
LONG = [
    f"h = F.relu({', '.join([NAME] * 3)}, self.layers[0]({NAME}), alpha=0.25, another_argument={NAME})",
    f"return torch.cat((F.relu(self.conv({NAME})), F.relu(self.conv_2({NAME})), F.gelu({NAME}), {NAME}), dim=1)",
    f"h = {NAME} * {NAME} + self.linear({NAME}) - torch.exp({NAME}) / {NAME} + {NAME}[:, :-1] * 2",
    f"def forward(self, {', '.join(f'{NAME}_{place}: Tensor' for place in range(5))}) -> tuple[Tensor, Tensor]:",
    f"self.layers = nn.ModuleList([{', '.join(f'Layer({place}, {NAME}, {NAME})' for place in range(4))}])",
    f"q, k, v = self.linear({NAME}).unflatten(2, (3, 8, 32)).permute(2, 0, 3, 1, 4).unbind({NAME}, {NAME})",
    f'return {{"accuracy": ({NAME}.argmax(-1) == {NAME}).float().mean(), "loss": F.cross_entropy({NAME}, {NAME})}}',
    f"self.layers = nn.ModuleList([Layer({NAME}, {NAME}, {NAME}, {NAME}) for _ in range({NAME})])",
    f"return {NAME} + 2.0 * torch.randn({NAME}), torch.full(({NAME},), 3), torch.ones({NAME}, {NAME}).tril(), {NAME}",
    f"a, b = {NAME} + 2.0 * torch.randn({NAME}) - torch.exp({NAME} * {NAME} + {NAME}) * {NAME} + {NAME}, {NAME}",
]


def laid(statement: str) -> str:
    body = f"{statement}\n    return 1" if statement.endswith(":") else statement
    return "\n".join(lines(body, 0)) + "\n"


@pytest.mark.parametrize("statement", LONG)
def test_a_long_statement_means_the_same(statement: str) -> None:
    text = laid(statement)
    assert ast.dump(ast.parse(text)) == ast.dump(
        ast.parse(statement + (" return 1" if statement.endswith(":") else ""))
    )
    assert all(len(line) <= LIMIT for line in text.split("\n"))
    assert text.count("\n") > 1


@pytest.mark.parametrize("statement", LONG)
def test_a_long_statement_is_laid_out_as_ruff_does(statement: str) -> None:
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length", str(LIMIT), "-"]
    formatted = subprocess.run(command, input=laid(statement), capture_output=True, text=True, check=True)
    assert formatted.stdout == laid(statement)


def test_a_short_statement_stays_on_its_line() -> None:
    assert lines("h = F.relu(x)", 2) == ["        h = F.relu(x)"]


def test_brackets_and_operators_within_strings_are_text() -> None:
    message = "a size (of [either) axis] + another, " * 4
    statement = f'raise ValueError("{message}")'
    assert "".join(line.strip() for line in lines(statement, 2)) == statement
