"""`dlc new`: a small project to start from."""

from __future__ import annotations

from pathlib import Path

import click

from dlc.runtime.cli.output import refusing_to_write


@click.command("new", short_help="Start a small project: a spec, its data, a README.")
@click.argument("folder", metavar="DIR")
def command(folder: str) -> None:
    """Start a small project in a new folder: a spec, its data as a table, and a README with what to try."""
    from dlc.runtime.files import replace_file
    from dlc.runtime.project import files

    place = Path(folder)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise click.UsageError(f"{folder} is there already, and is not an empty folder")
    with refusing_to_write(folder):
        place.mkdir(parents=True, exist_ok=True)
        for name, text in files(place.absolute().name).items():
            replace_file(place / name, text.encode())
    click.echo(f"{folder}: spec.dl, flowers.csv, README.md\ntry: cd {folder} && dlc train spec.dl")
