"""Families of calls that a setting chooses from by name, such as `adamw(lr=1e-3)`."""

from __future__ import annotations

from typing import Any, ClassVar, Self, cast

from dlc.compiler.checked import Checked


class Choice(Checked):
    """A call such as `adamw(lr=1e-3)`, chosen from a family by its name."""

    name: ClassVar[str]
    families: ClassVar[dict[str, dict[str, type[Choice]]]] = {}

    def __init_subclass__(cls, name: str = "", **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.name = name
        family = next((base.__name__ for base in cls.__mro__[1:] if base.__name__ in Choice.families), None)
        if family is None:
            Choice.families[cls.__name__] = {}
        else:
            Choice.families[family][name] = cls

    @classmethod
    def choices(cls) -> dict[str, type[Self]]:
        """The members of this family by their names in the language."""
        return cast("dict[str, type[Self]]", Choice.families[cls.__name__])

    @property
    def text(self) -> str:
        """The call as a spec would write it, with what was given: `adamw(lr=0.001, betas=(0.9, 0.99))`."""
        values = zip(self.fields(), self.values(), strict=True)
        return f"{self.name}({', '.join(f'{name}={_literal(value)}' for name, value in values if name in self.given)})"


def _literal(value: object) -> str:
    match value:
        case bool() | None:
            return str(value).lower()
        case str():
            return f'"{value}"'
        case _:
            return repr(value)
