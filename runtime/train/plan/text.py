"""What the emitted text of a task calls."""

from __future__ import annotations

from typing import Any

from dlc.runtime.train.task import Task


def called(task: Task) -> set[str]:
    """The names that its functions and modules call, attributes included."""
    functions = [function for space in task.namespaces() for function in _functions(space)]
    return {name for function in functions for name in function.__code__.co_names}


def _functions(space: dict[str, Any]) -> list[Any]:
    made = [value for value in space.values() if getattr(value, "__module__", None) == space["__name__"]]
    functions = [getattr(value, "forward", value) for value in made]
    unwrapped = [getattr(function, "__wrapped__", function) for function in functions]
    return [function for function in unwrapped if hasattr(function, "__code__")]
