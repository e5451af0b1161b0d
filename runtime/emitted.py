"""Emitted source as a module: what `dlc compile --to torch` writes is what runs, with its lines in tracebacks."""

from __future__ import annotations

import importlib.util
import linecache
from importlib.abc import InspectLoader
from types import CodeType, ModuleType

SUFFIX = ".emitted.py"


class _Text(InspectLoader):
    """Loads one module from text in memory."""

    def __init__(self, text: str, filename: str) -> None:
        self._text = text
        self._filename = filename

    def get_source(self, fullname: str) -> str:
        return self._text

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self._text, self._filename)


def load_module(name: str, text: str) -> ModuleType:
    """The module that an emitted text makes. Tracebacks, debuggers and `inspect` show it as `<name>.emitted.py`."""
    filename = f"{name}{SUFFIX}"
    loader = _Text(text, filename)
    spec = importlib.util.spec_from_loader(f"emitted.{name}", loader, origin=filename, is_package=False)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    # Without a time of change, linecache never looks for a file of this name.
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    loader.exec_module(module)
    return module
