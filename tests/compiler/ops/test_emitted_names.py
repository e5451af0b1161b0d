"""What the emitted PyTorch of operations calls by name is not a name of the spec."""

from __future__ import annotations

import ast
import builtins

from dlc.compiler.torch.emit import emit_graph
from dlc.compiler.torch.names import RESERVED, identifier

from .examples import cases


def called(source: str) -> set[str]:
    """The functions and builtins that the classes of a file call, and the functions that stand in it."""
    tree = ast.parse(source)
    functions = {part.name for part in tree.body if isinstance(part, ast.FunctionDef)}
    calls = {part.func for part in ast.walk(tree) if isinstance(part, ast.Call)}
    classes = [part for part in tree.body if isinstance(part, ast.ClassDef)]
    within = {part.id for unit in classes for part in ast.walk(unit) if isinstance(part, ast.Name)}
    names = {call.id for call in calls if isinstance(call, ast.Name)} & within
    return functions | {name for name in names if hasattr(builtins, name)}


def test_what_is_called_by_name_is_reserved() -> None:
    names = set().union(*(called(emit_graph(case.graph())) for case in cases()))
    assert names - RESERVED == set()
    assert {"run_recurrent", "apply_rope", "f1_score", "sum"} <= names
    assert identifier("apply_rope") == "apply_rope_"
