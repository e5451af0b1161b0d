"""Writes docs/lines.md: lines of DL against lines of PyTorch, for the same model, data, training and export."""

from __future__ import annotations

import statistics
from pathlib import Path

from bench.timing import table
from dlc.grammar import ast
from dlc.runtime.spec import read_tree

ROOT = Path(__file__).parents[2]
SPECS = {
    "ridge": "specs/linear/ridge.dl:Closed",
    "softmax_regression": "specs/linear/softmax_regression.dl",
    "classifier": "specs/mlp/classifier.dl",
    "digits": "specs/vision/digits.dl",
    "hopfield": "specs/energy/hopfield.dl",
    "vae": "tests/examples/vae.dl",
    "gan": "tests/examples/gan.dl",
    "ddpm": "tests/examples/ddpm.dl",
    "maml": "tests/examples/maml.dl",
    "gpt": "docs/tutorial.md:gpt.dl",
}
_PREFACE = """# Lines

The same model, data, training loop, measures and export, in DL and in the PyTorch that a person would write
(`bench/lines`). Blank lines, comments and docstrings do not count; what a spec imports from another counts with it.
`python -m bench.lines` writes this page.

What the scripts do not have, and the specs have without a line: a check before anything runs, resuming, exact measures
over a part of the data, a report, an export that was compared with PyTorch. The exporter unrolls loops: `hopfield.py`
exports six hundred steps, and `ddpm.py` two hundred copies of its network, which had not ended after eight minutes on a
core; with six steps in place of two hundred it does.
"""


def code_lines(text: str) -> int:
    """Lines of Python that are neither blank, nor a comment, nor in a docstring."""
    import ast as python

    documented = python.Module | python.ClassDef | python.FunctionDef
    trees = [node for node in python.walk(python.parse(text)) if isinstance(node, documented)]
    docs = [tree.body[0] for tree in trees if python.get_docstring(tree) is not None]
    skipped = {line for doc in docs for line in range(doc.lineno, (doc.end_lineno or doc.lineno) + 1)}
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and number not in skipped
        for number, line in enumerate(text.splitlines(), start=1)
    )


def spec_lines(place: str) -> int:
    """Lines of a spec, and of what it imports, without those of other trainings than the one that is named."""
    path, _, name = place.partition(":")
    tree = read_tree(ROOT / path)
    total = 0
    for item in tree.items:
        if isinstance(item, ast.Train) and name and item.name.id != name:
            continue
        total += _counted(item.span.text)
        if isinstance(item, ast.Import) and item.dots:
            total += _imported((ROOT / path).parent / f"{item.path[0].id}.dl", {name.id for name in item.names})
    return total


def _imported(path: Path, names: set[str]) -> int:
    items = (item for item in read_tree(path).items if not isinstance(item, ast.Import | ast.Language))
    return sum(_counted(item.span.text) for item in items if item.name.id in names)


def _counted(text: str) -> int:
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in text.splitlines())


def main() -> None:
    rows, ratios = [], []
    for name, place in SPECS.items():
        ours = tutorial_lines() if place.startswith("docs/") else spec_lines(place)
        theirs = code_lines((ROOT / "bench" / "lines" / f"{name}.py").read_text(encoding="utf-8"))
        ratios.append(theirs / ours)
        rows.append([name, str(ours), str(theirs), f"{ratios[-1]:.1f}"])
    rows.append(["in the median", "", "", f"{statistics.median(ratios):.1f}"])
    page = _PREFACE + "\n" + table(["", "DL", "PyTorch", "times"], rows) + "\n"
    (ROOT / "docs" / "lines.md").write_text(page, encoding="utf-8")


def tutorial_lines() -> int:
    """Lines of the tutorial's last spec, and of the data that it takes from the one before."""
    page = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    spec = page.partition("`gpt.dl`\n```dl\n")[2].partition("```")[0]
    before = page.partition("`recurrent.dl`\n```dl\n")[2].partition("```")[0]
    data = before.partition("\ndata ")[2].partition("\n\n")[0]
    return _counted(spec) + _counted(data)


if __name__ == "__main__":
    main()
