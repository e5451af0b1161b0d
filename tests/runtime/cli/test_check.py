import json
import math
import resource
import subprocess
import sys
from pathlib import Path

import pytest

WRONG = """\
model Narrow(x: float[N, 8]) -> (y: float[N, 2]):
    return x -> linear(2) -> rellu

model Wide(x: float[N, 8]) -> (y: float[N, 3]):
    return x -> linear(2, biass=false)
"""


def test_a_right_spec(dlc, narrow) -> None:
    result = dlc("check", narrow)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "narrow.dl: ok\n", "")


def test_a_wrong_spec(dlc, tmp_path: Path) -> None:
    (tmp_path / "wrong.dl").write_text(WRONG)
    result = dlc("check", "wrong.dl")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error[DL2001]: there is nothing called `rellu`\n  --> wrong.dl:2:30\n")
    assert "error[DL2003]" in result.stderr
    assert result.stderr.endswith("\n\n2 errors\n")


def test_several_files(dlc, narrow, tmp_path: Path) -> None:
    (tmp_path / "wrong.dl").write_text(WRONG)
    result = dlc("check", "wrong.dl", narrow, "missing.dl")
    assert result.exit_code == 1
    assert result.stdout == "narrow.dl: ok\n"
    assert result.stderr.endswith("\n\n3 errors\n")


def test_json_is_a_list_of_diagnostics(dlc, narrow, tmp_path: Path) -> None:
    (tmp_path / "wrong.dl").write_text(WRONG)
    result = dlc("check", "wrong.dl", narrow, "--json")
    assert result.exit_code == 1
    assert result.stderr == ""
    first, second = json.loads(result.stdout)
    assert first.keys() == {
        "code", "message", "file", "line", "column", "end_line", "end_column", "label", "labels", "notes", "help",
    }  # fmt: skip
    place = [first[key] for key in ("code", "file", "line", "column", "end_line", "end_column")]
    assert place == ["DL2001", "wrong.dl", 2, 30, 2, 35]
    assert second["code"] == "DL2003"
    assert json.loads(dlc("check", narrow, "--json").stdout) == []


def test_a_missing_file_is_a_diagnostic(dlc, narrow) -> None:
    result = dlc("check", "narow.dl")
    assert result.exit_code == 1
    assert result.stderr.startswith("error[DL8001]: there is no file narow.dl\n")
    assert "did you mean narrow.dl?" in result.stderr


def test_what_is_set_is_checked(dlc, narrow) -> None:
    assert dlc("check", narrow, "--set", "width=4").exit_code == 0
    unknown = dlc("check", narrow, "--set", "widht=4")
    assert unknown.exit_code == 1
    assert "did you mean `width`?" in unknown.stderr


@pytest.mark.parametrize("command", [["check"], ["show"], ["show", "--json"], ["compile", "--to", "graph"]])
def test_short_commands_import_nothing_heavy(dlc, narrow, command: list[str]) -> None:
    name, *options = command
    code = (
        "import sys\n"
        "from dlc.runtime.cli import main\n"
        f"sys.argv = ['dlc', {name!r}, {narrow!r}, *{options!r}]\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as done:\n"
        "    assert done.code == 0, done.code\n"
        "heavy = {'torch', 'onnx', 'onnx_ir', 'onnxruntime', 'numpy', 'networkx', 'rich', 'sklearn'}\n"
        "print(sorted(heavy & sys.modules.keys()), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_a_terminal_gets_colours_unless_they_are_unwanted(monkeypatch: pytest.MonkeyPatch) -> None:
    from io import StringIO

    from dlc.runtime.cli.output import colours

    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert colours(Terminal())
    assert not colours(StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colours(Terminal())
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not colours(Terminal())


def test_a_mistake_of_our_own_is_not_shown_as_one_of_the_users(narrow, dlc) -> None:
    code = (
        "import sys\n"
        "import dlc.runtime.cli.check as check\n"
        "def fail(*_):\n"
        "    raise RuntimeError('boom')\n"
        "check.read_spec = fail\n"
        f"sys.argv = ['dlc', 'check', {narrow!r}]\n"
        "from dlc.runtime.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 70
    assert "RuntimeError: boom" in done.stderr
    assert "This is a mistake in dlc" in done.stderr


def test_proofs_cost_little_beside_the_rest_of_a_check(tmp_path: Path) -> None:
    spec = (Path(__file__).parents[2] / "examples" / "gpt.dl").read_text()
    plain = "".join(line for line in spec.splitlines(keepends=True) if not line.lstrip().startswith("ensure "))
    assert plain != spec
    proved, unproved = tmp_path / "proved.dl", tmp_path / "unproved.dl"
    proved.write_text(spec)
    unproved.write_text(plain)
    with_proofs = without = math.inf
    for taken in range(1, 21):  # as many as it takes until both were measured undisturbed
        with_proofs = min(with_proofs, _processor_time(proved))
        without = min(without, _processor_time(unproved))
        if taken >= 5 and with_proofs < 1.2 * without:
            return
    pytest.fail(f"{with_proofs:.3f} s with proofs, {without:.3f} s without")


def _processor_time(spec: Path) -> float:
    """Seconds of processor time that `dlc check` of a spec takes as a whole process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "dlc", "check", str(spec)], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
