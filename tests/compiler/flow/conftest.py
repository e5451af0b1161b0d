"""Tells at the end of a run how many claims of random graphs were proved, and what share of true ones was refused."""

from collections import Counter
from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    counts: Counter[str] = Counter()
    for report in terminalreporter.stats.get("passed", ()):
        if "test_what_is_proved_is_true" in report.nodeid:
            counts.update(dict(report.user_properties))
    true = counts["proved"] + counts["refused, and true"]
    if true:
        share = 100 * counts["refused, and true"] / true
        terminalreporter.write_line(
            f"claims of random graphs: {counts['proved']} proved, {counts['refused']} refused; of those that no "
            f"perturbation broke {share:.1f} % refused"
        )
        for kind in ("causal", "independent", "local", "equivariant"):
            proved, missed = counts[f"{kind} proved"], counts[f"{kind} missed"]
            terminalreporter.write_line(f"  {kind}: {proved} proved, {missed} refused that no perturbation broke")
