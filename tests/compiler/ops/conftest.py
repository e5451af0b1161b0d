"""Tells at the end of a run how many operations there are, what was compared, and which have no ONNX lowering."""

from typing import Any

from dlc.compiler.op import operations

COMPARISONS = {
    "test_torch_gives_the_declared_types": "types and shapes against PyTorch",
    "test_gradients_agree_with_finite_differences": "gradients against finite differences",
    "test_onnx_agrees_with_torch": "results of onnxruntime against PyTorch",
    "test_onnx_draws_what_torch_draws": "random operations of both given the same noise",
}


def pytest_terminal_summary(terminalreporter: Any) -> None:
    kinds = operations()
    examples = sum(len(kind.examples) for kind in kinds.values())
    terminalreporter.write_line(f"{len(kinds)} operations in {examples} variants")
    passed = [report.nodeid for report in terminalreporter.stats.get("passed", ())]
    counts = {what: sum(f"::{test}[" in node for node in passed) for test, what in COMPARISONS.items()}
    if any(counts.values()):
        total = sum(counts.values())
        terminalreporter.write_line(f"{total} comparisons: {', '.join(f'{n} {what}' for what, n in counts.items())}")
    for name, kind in sorted(kinds.items()):
        if kind.no_onnx:
            terminalreporter.write_line(f"  without ONNX: {name}: {kind.no_onnx}")
