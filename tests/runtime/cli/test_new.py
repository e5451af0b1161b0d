import json
import re
from pathlib import Path


def test_a_new_project_runs_as_its_readme_says(dlc, tmp_path: Path, monkeypatch) -> None:
    result = dlc("new", "flowers")
    assert result.exit_code == 0
    monkeypatch.chdir(tmp_path / "flowers")
    assert dlc("fmt", "--check", "spec.dl").exit_code == 0
    commands = re.findall(r"^\| `dlc (.*?)` \|", Path("README.md").read_text(), re.M)
    assert [line.split()[0] for line in commands] == ["check", "show", "train", "eval", "export", "run"]
    for line in commands:
        arguments = [part.strip('"') for part in re.findall(r'"[^"]*"|\S+', line)]
        if arguments[0] == "train":
            arguments.append("-q")
        result = dlc(*arguments)
        assert result.exit_code == 0, (line, result.stderr)
    assert json.loads(dlc("eval", "runs/first", "--json").stdout)["measures"]["accuracy"] > 0.9


def test_a_folder_with_something_in_it_is_left_alone(dlc, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/spec.dl").write_text("let a = 1\n")
    result = dlc("new", "full")
    assert result.exit_code == 2
    assert (tmp_path / "full/spec.dl").read_text() == "let a = 1\n"
