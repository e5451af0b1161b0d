"""Our export against torch.onnx.export(dynamo=True): time, peak memory, and the axes that stay open.

    .venv-peers/bin/python -m bench.export [--only NAME ...] [--rounds N] [--write]

Both export the same model with the same weights, which lie in a .safetensors file for us and in the module for
PyTorch; ours begins with the text of the spec. Neither compares its result with PyTorch. Every export has a process of
its own. What comes before it is told apart: imports and the export of a tiny model, so that nothing is loaded for the
first time while the time is taken. Memory is the peak of the resident set during the export, above that before it.

An axis counts as open if the file has a name for it in its input and the file gives results of PyTorch's shape with
another size there. PyTorch is asked for dynamic axes (`Dim.DYNAMIC`); where it refuses, those that it can keep
(`Dim.AUTO`) are asked for, and the table says so. `--write` puts the table into bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.timing import digits, machine, record, table
from dlc.compiler.program import Model

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Case:
    """sizes: those of the input while it is traced. others: those at which the files are tried."""

    name: str
    spec: str
    sizes: Mapping[str, int]
    others: Mapping[str, int]


CASES = (
    Case("MLP 784-512-512-10", "bench/specs/mlp.dl", {"N": 4}, {"N": 7}),
    Case("ResNet-50", "specs/vision/resnet50.dl", {"N": 2, "H": 224, "W": 192}, {"N": 3, "H": 160, "W": 96}),
    Case("LSTM 256", "bench/specs/lstm.dl", {"N": 4, "T": 16}, {"N": 3, "T": 9}),
    Case("GRU by hand", "tests/examples/gru.dl", {"N": 4, "T": 16}, {"N": 3, "T": 9}),
    Case("GPT-2", "specs/sequence/gpt2.dl", {"N": 2, "T": 16}, {"N": 3, "T": 9}),
)
TINY = "model Tiny(x: float[N, 4]) -> (y: float[N, 2]):\n    return x -> linear(2)\n"


@dataclass(frozen=True)
class Outcome:
    """One export. loading: seconds of imports and of the tiny model. seconds, memory (bytes): of the export itself.

    size: the bytes of its files. axes: what became of each axis. note: what else is to be told.
    """

    loading: float
    seconds: float
    memory: int
    size: int
    axes: Mapping[str, str]
    note: str = ""


# --- what runs in a process of its own --------------------------------------------------------------------------


def ours(case: Case, folder: Path) -> Outcome:
    from dlc.compiler.onnx.emit import build_model, save_model
    from dlc.runtime.weights import open_weights

    start = time.perf_counter()
    (folder / "tiny.dl").write_text(TINY, encoding="utf-8")
    tiny = read(folder / "tiny.dl")
    save_model(build_model(tiny.graph, drawn(tiny)), folder / "tiny.onnx")
    loading = time.perf_counter() - start + LOADED
    before = reset_peak()
    start = time.perf_counter()
    model = read(ROOT / case.spec)
    save_model(build_model(model.graph, open_weights(folder / "weights.safetensors")), folder / "ours.onnx")
    seconds = time.perf_counter() - start
    memory = peak() - before
    return Outcome(loading, seconds, memory, stored(folder, "ours.onnx"), kept(case, model, folder / "ours.onnx"))


def theirs(case: Case, folder: Path) -> Outcome:
    import torch

    warnings.simplefilter("ignore")
    start = time.perf_counter()
    tiny = torch.nn.Linear(4, 2).eval()
    torch.onnx.export(tiny, (torch.zeros(3, 4),), folder / "tiny.onnx", dynamo=True, verbose=False)
    loading = time.perf_counter() - start + LOADED
    model = read(ROOT / case.spec)
    module = network(model, folder)
    given = tuple(torch.from_numpy(array) for array in inputs(model, case.sizes).values())
    note = ""
    for wanted in (torch.export.Dim.DYNAMIC, torch.export.Dim.AUTO):
        shapes = tuple(
            {axis: wanted for axis, size in enumerate(value.type.shape) if not size.is_constant}
            for value in model.graph.inputs.values()
        )
        before = reset_peak()
        start = time.perf_counter()
        try:
            torch.onnx.export(module, given, folder / "theirs.onnx", dynamo=True, dynamic_shapes=shapes, verbose=False)
        except Exception as error:  # what it raises has no common type
            note = f"refuses dynamic axes ({type(error).__name__})"
            continue
        seconds = time.perf_counter() - start
        memory = peak() - before
        axes = kept(case, model, folder / "theirs.onnx")
        return Outcome(loading, seconds, memory, stored(folder, "theirs.onnx"), axes, note)
    raise RuntimeError(f"{case.name}: {note}")


def prepare(case: Case, folder: Path) -> int:
    """Draws the weights, and tells how many numbers they are."""
    from safetensors.numpy import save_file

    weights = drawn(read(ROOT / case.spec))
    save_file(weights, folder / "weights.safetensors")
    return sum(array.size for array in weights.values())


def read(path: Path) -> Model:
    from dlc.runtime.spec import read_checked

    (model,) = read_checked(path, {}).models.values()
    return model


def drawn(model: Model) -> dict[str, np.ndarray[Any, Any]]:
    from dlc.compiler.weights import draw_weights

    return draw_weights(model.graph.weights(), 0)


def network(model: Model, folder: Path) -> Any:
    """The spec's PyTorch with the weights of the file."""
    from safetensors.torch import load_file

    from dlc.compiler.torch.emit import emit_graph
    from dlc.runtime.emitted import load_module

    module = getattr(load_module(model.name, emit_graph(model.graph)), model.name)()
    module.load_state_dict(load_file(folder / "weights.safetensors"))
    return module.eval()


def inputs(model: Model, sizes: Mapping[str, int]) -> dict[str, np.ndarray[Any, Any]]:
    from dlc.runtime.infer.trials import Sizes, draw_inputs

    symbols = {
        symbol for value in model.graph.inputs.values() for size in value.type.shape for symbol in size.symbols()
    }
    return draw_inputs(model.graph, Sizes({symbol: sizes[symbol.name] for symbol in symbols}))


def kept(case: Case, model: Model, path: Path) -> dict[str, str]:
    """What became of each axis that the spec leaves open."""
    import onnx
    import onnxruntime

    named = {
        value.name: [size.dim_param for size in value.type.tensor_type.shape.dim]
        for value in onnx.load(path, load_external_data=False).graph.input
    }
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found: dict[str, str] = {}
    for value, given in zip(model.graph.inputs.values(), session.get_inputs(), strict=True):
        for axis, size in enumerate(value.type.shape):
            if not size.is_constant:
                text = str(size)
                sizes = {**case.sizes, text: case.others[text]}
                outcome = "kept" if named[given.name][axis] else "frozen"
                found[text] = outcome if outcome == "frozen" else tried(model, session, sizes)
    return found


def tried(model: Model, session: Any, sizes: Mapping[str, int]) -> str:
    """Whether the file gives shapes as due at these sizes."""
    from dlc.runtime.infer.trials import Sizes

    arrays = inputs(model, sizes)
    symbols = {
        symbol for value in model.graph.inputs.values() for size in value.type.shape for symbol in size.symbols()
    }
    known = Sizes({symbol: sizes[symbol.name] for symbol in symbols})
    due = [tuple(known.of(size) for size in value.type.shape) for value in model.graph.outputs]
    names = [each.name for each in session.get_inputs()]
    try:
        results = session.run(None, dict(zip(names, arrays.values(), strict=True)))
    except Exception as error:  # onnxruntime's errors have no common type
        return f"fails ({type(error).__name__})"
    return "kept" if [result.shape for result in results] == due else "wrong shapes"


def reset_peak() -> int:
    """Starts to watch the peak of the resident set, and tells it as it is now, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return status("VmRSS")


def peak() -> int:
    return status("VmHWM")


def status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def stored(folder: Path, name: str) -> int:
    return sum(path.stat().st_size for path in folder.glob(f"{name}*"))


# --- the run ----------------------------------------------------------------------------------------------------


def apart(what: str, case: Case, folder: Path) -> Any:
    """The outcome of a function above in a process of its own. Raises RuntimeError with what it printed."""
    command = [sys.executable, "-m", "bench.export", "--child", what, case.name, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=BENCH.parent)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def row(case: Case, rounds: int, folder: Path) -> tuple[list[str], float]:
    """A line of the table, and how many times faster ours is."""
    count = apart("prepare", case, folder)
    taken: dict[str, list[Outcome]] = {"ours": [], "theirs": []}
    for number in range(rounds):
        for what in ("ours", "theirs") if number % 2 else ("theirs", "ours"):
            taken[what].append(Outcome(**apart(what, case, folder)))
    times = statistics.median(b.seconds / a.seconds for a, b in zip(taken["ours"], taken["theirs"], strict=True))
    mine, other = taken["ours"], taken["theirs"]
    cells = [
        f"{case.name}, {count:,} weights",
        *(digits(median(each, "seconds")) for each in (mine, other)),
        f"**{digits(times)}**",
        *(digits(median(each, "memory") / 2**20) for each in (mine, other)),
        *(axes(each[-1]) for each in (mine, other)),
        *(digits(median(each, "loading")) for each in (mine, other)),
    ]
    return cells, times


def median(outcomes: Sequence[Outcome], what: str) -> float:
    return statistics.median(getattr(each, what) for each in outcomes)


def axes(outcome: Outcome) -> str:
    told = ", ".join(f"{name} {what}" for name, what in outcome.axes.items())
    if set(outcome.axes.values()) == {"kept"}:
        told = f"{', '.join(outcome.axes)} kept"
    return f"{told}; {outcome.note}" if outcome.note else told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", metavar="NAME", help="the models whose names contain one of these")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    given = parser.parse_args()
    chosen = [case for case in CASES if not given.only or any(part in case.name for part in given.only)]
    rows: list[list[str]] = []
    ratios: list[float] = []
    for case in chosen:
        with tempfile.TemporaryDirectory(prefix="dlc-bench-") as folder:
            cells, times = row(case, given.rounds, Path(folder))
        rows.append(cells)
        ratios.append(times)
        print(" | ".join(cells), flush=True)
    head = ["", "ours, s", "torch, s", "times", "ours, MiB", "torch, MiB", "axes, ours", "axes, torch"]
    text = "\n\n".join(
        (
            "## Export: ours against torch.onnx.export(dynamo=True)",
            f"{machine(*PACKAGES)}; medians of {given.rounds} rounds, every export in a process of its own.",
            "Ours sees its files to the disk, PyTorch does not: of what GPT-2 takes, most is the disk.",
            table([*head, "loading, ours, s", "loading, torch, s"], rows),
            f"In the median ours takes one {digits(statistics.median(ratios))}th of the time.",
        )
    )
    print(f"\n{text}")
    if given.write:
        record(BENCH / "README.md", "export", text)


def child(what: str, name: str, folder: str) -> None:
    case = next(each for each in CASES if each.name == name)
    outcome = {"ours": ours, "theirs": theirs, "prepare": prepare}[what](case, Path(folder))
    print(json.dumps(asdict(outcome) if isinstance(outcome, Outcome) else outcome))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        started = time.perf_counter()
        if sys.argv[2] == "theirs":
            import onnxscript  # noqa: F401
        else:
            pass
        LOADED = time.perf_counter() - started
        child(*sys.argv[2:])
    else:
        main()
