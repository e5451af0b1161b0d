"""Tells at the end of a run how many operations there are, and which have no ONNX lowering."""

from typing import Any

from dlc.compiler.op import operations


def pytest_terminal_summary(terminalreporter: Any) -> None:
    kinds = operations()
    examples = sum(len(kind.examples) for kind in kinds.values())
    terminalreporter.write_line(f"{len(kinds)} operations with {examples} examples")
    for name, kind in sorted(kinds.items()):
        if kind.no_onnx:
            terminalreporter.write_line(f"  without ONNX: {name}: {kind.no_onnx}")
