"""Reports as a user reads them: beside each wrong spec, `<name>.dl`, stands what is said of it, `<name>.out`.

A spec's first line may be `# --set width=64`, the overrides that it is checked with. What only a command can run into
is a `<name>.cmd`: command lines without their `dlc`, the last of which fails, called in a copy of the case's folder;
what takes more than that to bring about is in `situations.py`.
With DLC_UPDATE=1 in the environment the reports are written instead of compared; read the difference before it is
committed.
"""

import os
import re
import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner

from dlc.grammar.render import render_text
from dlc.runtime.cli.group import commands
from dlc.runtime.spec import read_spec

from .situations import SITUATIONS

HERE = Path(__file__).parent
SPECS = sorted(HERE.glob("*/*.dl"))
COMMANDS = sorted(HERE.glob("*/*.cmd"))
UPDATE = bool(os.environ.get("DLC_UPDATE"))


def named(path: Path) -> str:
    return path.relative_to(HERE).as_posix()


def compare(case: Path, report: str) -> None:
    report = report.replace(str(case.parent), "/specs")
    expected = case.with_suffix(".out")
    if UPDATE:
        expected.write_text(report)
    assert expected.exists(), f"{named(expected)} is missing: DLC_UPDATE=1 writes it"
    assert report == expected.read_text()


def overrides(text: str) -> dict[str, str]:
    first = text.partition("\n")[0]
    if not first.startswith("# --set "):
        return {}
    return dict(setting.split("=", 1) for setting in first.removeprefix("# ").split("--set ")[1:] if setting.strip())


@pytest.mark.parametrize("case", SPECS, ids=named)
def test_spec(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(case.parent)
    given = {name: text.strip() for name, text in overrides(case.read_text()).items()}
    program, sink = read_spec(case.name, given)
    assert program is None
    compare(case, render_text(sink))


@pytest.mark.parametrize("case", COMMANDS, ids=named)
def test_command(case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(case.parent, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    *before, last = case.read_text().splitlines()
    for line in before:
        result = CliRunner().invoke(commands, line.split())
        assert result.exit_code == 0, result.output
    with SITUATIONS.get(named(case.with_suffix("")), nullcontext)():
        result = CliRunner().invoke(commands, last.split())
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 1, result.output
    compare(case, result.stderr.replace(str(tmp_path / "here"), "/specs"))


def test_reports_belong_to_cases() -> None:
    cases = {case.with_suffix("") for case in (*SPECS, *COMMANDS)}
    assert [named(report) for report in sorted(HERE.glob("*/*.out")) if report.with_suffix("") not in cases] == []


CODE = re.compile(r"^error\[(DL\d{4})\]: (.+)$", re.MULTILINE)


@pytest.mark.parametrize("report", sorted(HERE.glob("*/*.out")), ids=named)
def test_first_lines_are_sentences_without_a_full_stop(report: Path) -> None:
    found = CODE.findall(report.read_text())
    assert found
    for _, message in found:
        assert not message.endswith("."), message


SEVERAL = {
    "names/two_mistakes_two_errors.out": 2,
    "syntax/two_mistakes.out": 2,
    "syntax/unknown_escape.out": 2,
    "syntax/not_indented.out": 2,
    "limits/too_many_mistakes.out": 101,
    "proofs/budget.out": 3,
    "proofs/no_claim.out": 10,
    "proofs/unknown_axis.out": 2,
}


@pytest.mark.parametrize("report", sorted(HERE.glob("*/*.out")), ids=named)
def test_one_mistake_gives_one_error(report: Path) -> None:
    assert len(CODE.findall(report.read_text())) == SEVERAL.get(named(report), 1)
