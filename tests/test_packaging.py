"""What is installed is what stands in the repository."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = {
    "dlc": "dlc",
    "grammar": "dlc.grammar",
    "compiler": "dlc.compiler",
    "runtime": "dlc.runtime",
    "specs": "dlc.specs",
}


def test_every_folder_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = set()
    for folder, package in ROOMS.items():
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".dl", ".lark"):
                found.add(".".join([package, *path.parent.relative_to(ROOT / folder).parts]))
    assert found == set(project["tool"]["setuptools"]["packages"])


def test_pins_name_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [name for group in project["optional-dependencies"].values() for name in group]
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(line.count("==") == 1 and "+" not in line and "/" not in line for line in pins)
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in pins}
    assert {requirement.split(">=")[0] for requirement in [*project["dependencies"], *extras]} <= pinned
