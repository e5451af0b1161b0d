"""`python -m zoo [FAMILY | FAMILY/NAME]…`: trains and measures the specs, and writes specs/README.md."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from zoo.readme import write_readme
from zoo.result import Result, measured
from zoo.row import Row, rows

_LONGEST = 1800  # seconds that a row may take
_ROOT = Path(__file__).parents[1]


@click.command()
@click.argument("chosen", nargs=-1, metavar="[FAMILY | FAMILY/NAME]...")
@click.option("--keep", type=click.Path(path_type=Path), help="A folder in which the runs stay.")
@click.option("--json", "as_json", is_flag=True, help="Measure one row here, and print what came of it.")
def main(chosen: tuple[str, ...], keep: Path | None, as_json: bool) -> None:
    """Trains the specs, checks what each must show, exports them, and compares onnxruntime with PyTorch.

    Goes on after a failure, and exits 1 if there was one. The table in specs/README.md is written when all were asked
    for, or brought up to date in the rows that were.
    """
    known = rows()
    wanted = [row for key, row in known.items() if not chosen or key in chosen or row.family in chosen]
    strangers = [name for name in chosen if name not in known and all(row.family != name for row in known.values())]
    if strangers:
        raise click.UsageError(f"there is no family or spec {', '.join(strangers)}")
    if as_json:
        click.echo(json.dumps(_here(wanted[0], keep).document()))
        return
    results = [_told(_apart(row, keep)) for row in wanted]
    write_readme(_ROOT / "specs" / "README.md", known, results)
    missed = [result for result in results if not result.held]
    click.echo(f"{len(results) - len(missed)} of {len(results)} show what they must")
    sys.exit(1 if missed else 0)


def _here(row: Row, keep: Path | None) -> Result:
    if keep is not None:
        return measured(row, keep / row.family / row.name)
    with TemporaryDirectory(prefix="zoo-") as folder:
        return measured(row, Path(folder))


def _apart(row: Row, keep: Path | None) -> Result:
    """A row measured in a process of its own, so that it meets neither the memory nor the threads of another."""
    command = [sys.executable, "-m", "zoo", row.key, "--json"]
    if keep is not None:
        command += ["--keep", str(keep)]
    try:
        told = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=_LONGEST, check=False)
    except subprocess.TimeoutExpired:
        return Result.failed(row.key, f"took more than {_LONGEST} s")
    lines = told.stdout.splitlines()
    if told.returncode or not lines:
        reason = (told.stderr.strip() or f"ended with {told.returncode}").splitlines()[-1]
        return Result.failed(row.key, reason)
    return Result.read(json.loads(lines[-1]))


def _told(result: Result) -> Result:
    mark = "ok    " if result.held else "MISSED"
    click.echo(f"{mark} {result.key:32} {result.seconds:6.1f} s  {result.reached}")
    return result


if __name__ == "__main__":
    main()
