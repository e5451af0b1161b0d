"""Exported models in onnxruntime against PyTorch, torch.compile, the traced export, and OpenVINO, in fp32.

    .venv-peers/bin/python -m bench.infer [--only NAME ...] [--rounds N] [--alone] [--write]

`ours, by OpenVINO` is our file, run by `dlc.Session` with OpenVINO's provider, where there is an onnxruntime with it;
see `bench/provided.py`.

All contenders of a row run the same weights, each in a process of its own, and take turns. Before they are timed
their outputs are compared with PyTorch's. The traced export and torch.compile get the row's sizes as constants; ours
is one file for all sizes. `--alone` gives each a single thread and tells its processor time, which means something on
a machine that is busy. `--write` puts the table into bench/README.md; rows that were not measured stay there.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.provided import PYTHON, Provided
from bench.timing import Child, Timing, digits, interleave, machine, ms, record, recorded, table
from dlc.compiler.program import Model

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
PACKAGES = ("torch", "onnx", "onnxruntime", "openvino", "onnxscript")
TOLERANCE = 1e-4
THREADS = "OMP_NUM_THREADS"  # which PyTorch heeds by itself

Arrays = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Case:
    """A row: a model of a spec at some sizes.

    spec: below the repository. shape: of its one input. below: what the input's numbers lie below, where they are ints.
    """

    name: str
    spec: str
    shape: tuple[int, ...]
    overrides: Mapping[str, str]
    below: int | None = None

    @property
    def title(self) -> str:
        return f"{self.name}, {' x '.join(map(str, self.shape))}"

    def model(self, **sizes: int) -> Model:
        """The model, with sizes of its input as numbers where they are given."""
        from dlc.runtime.spec import read_checked

        settings = {**self.overrides, **{name: str(size) for name, size in sizes.items()}}
        (model,) = read_checked(ROOT / self.spec, settings).models.values()
        return model

    def weights(self) -> dict[str, np.ndarray[Any, Any]]:
        from dlc.compiler.weights import draw_weights

        return draw_weights(self.model().graph.weights(), 0)

    def arrays(self) -> Arrays:
        (name,) = self.model().graph.inputs
        generator = np.random.default_rng(0)
        if self.below is not None:
            return {name: generator.integers(0, self.below, self.shape)}
        return {name: generator.standard_normal(self.shape).astype(np.float32)}

    def sizes(self) -> dict[str, int]:
        """Of the symbols of its input."""
        (given,) = self.model().graph.inputs.values()
        return {str(dim): size for dim, size in zip(given.type.shape, self.shape, strict=True) if not dim.is_constant}

    def gflop(self) -> float:
        """What the model computes in one call, counting a multiply-add as two."""
        from dlc.compiler.cost import Costs

        return 2e-9 * int(Costs().macs(self.model(**self.sizes()).graph))


def cases() -> Iterator[Case]:
    for batch in (1, 32):
        yield Case("MLP 784-512-512-10", "bench/specs/mlp.dl", (batch, 784), {})
        yield Case("ResNet-50", "specs/vision/resnet50.dl", (batch, 3, 224, 224), {})
        yield Case("LSTM 256", "bench/specs/lstm.dl", (batch, 64, 256), {})
        yield Case("GPT-2", "specs/sequence/gpt2.dl", (batch, 64), {}, below=50257)
        for length in (128, 512, 1024):
            settings = {"context": "1024"}
            yield Case("GPT 4 x 256", "tests/examples/gpt.dl", (batch, length), settings, below=256)
        yield Case("GRU by hand", "tests/examples/gru.dl", (batch, 64, 6), {"width": "256"})
        yield Case("GRU operator", "bench/specs/gru.dl", (batch, 64, 6), {"width": "256"})


# --- contenders: makers of what is timed, called in their own processes -----------------------------------------


def network(case: Case) -> Any:
    """The spec's PyTorch with the row's weights."""
    import torch

    from dlc.compiler.torch.emit import emit_graph
    from dlc.runtime.emitted import load_module

    model = case.model()
    module = getattr(load_module(model.name, emit_graph(model.graph)), model.name)()
    module.load_state_dict({path: torch.tensor(array) for path, array in case.weights().items()})
    return module.eval()


def tensors(case: Case) -> tuple[Any, ...]:
    import torch

    return tuple(torch.from_numpy(array) for array in case.arrays().values())


def listed(given: Any) -> list[np.ndarray[Any, Any]]:
    return [each.numpy() for each in (given if isinstance(given, tuple) else (given,))]


def eager(case: Case) -> Callable[[], object]:
    import torch

    module, given = network(case), tensors(case)

    def call() -> object:
        with torch.inference_mode():
            return listed(module(*given))

    return call


def compiled(case: Case) -> Callable[[], object]:
    import torch

    module, given = torch.compile(network(case)), tensors(case)

    def call() -> object:
        with torch.inference_mode():
            return listed(module(*given))

    call()
    return call


def ours(case: Case, folder: str) -> Callable[[], object]:
    """By what `dlc.Session` runs a model with, without its looking at the arrays, as with all contenders.

    It is tuned first, as torch.compile and the tracing exporter are given the row's sizes before they are timed.
    """
    from dlc.compiler.onnx.emit import build_model, save_model
    from dlc.runtime.infer.engine import Engine, Options

    path = Path(folder) / "ours.onnx"
    save_model(build_model(case.model().graph, case.weights()), path)
    engine, arrays = Engine(path, Options(threads=_threads())), case.arrays()
    _way(folder).write_text(str(engine.tune(arrays, list(arrays)).chosen), encoding="utf-8")

    def call() -> object:
        return [*engine.run(arrays).values()]

    return call


def provided(case: Case, folder: str) -> Provided:
    """Our file in an opset that OpenVINO's provider knows, which has no attention."""
    from dlc.compiler.onnx.emit import build_model, save_model
    from dlc.compiler.onnx.opset import OPSET

    path = Path(folder) / "provided.onnx"
    save_model(build_model(case.model().graph, case.weights(), OPSET), path)
    return Provided(path, case.arrays(), _threads())


def _threads() -> int | None:
    return int(os.environ[THREADS]) if THREADS in os.environ else None


def _way(folder: str) -> Path:
    """Where it is told how ours is run."""
    return Path(folder) / "way.txt"


def traced(case: Case, folder: str) -> Callable[[], object]:
    return in_onnxruntime(case, trace(case, folder))


def in_onnxruntime(case: Case, path: Path) -> Callable[[], object]:
    session = opened(str(path))
    names = [given.name for given in session.get_inputs()]
    feeds = dict(zip(names, case.arrays().values(), strict=True))
    return lambda: session.run(None, feeds)


def opened(model: str | bytes) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = int(os.environ.get(THREADS, "0"))
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def openvino(case: Case, folder: str) -> Callable[[], object]:
    import openvino as ov

    core = ov.Core()
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    if THREADS in os.environ:
        settings["INFERENCE_NUM_THREADS"] = int(os.environ[THREADS])
    model = core.compile_model(core.read_model(trace(case, folder)), "CPU", settings)
    request, given = model.create_infer_request(), list(case.arrays().values())

    def call() -> object:
        results = request.infer(given, share_inputs=True, share_outputs=True)
        return [results[place] for place in range(len(model.outputs))]

    return call


def trace(case: Case, folder: str) -> Path:
    """The model as PyTorch's exporter writes it, for the sizes of the row; once for all who want it."""
    import torch

    path = Path(folder) / "traced.onnx"
    if not path.exists():
        torch.onnx.export(network(case), tensors(case), path, dynamo=True, verbose=False)
    return path


BY_PROVIDER = "ours, by OpenVINO"
CONTENDERS: Mapping[str, Callable[..., Callable[[], object]] | None] = {
    "ours": ours,
    BY_PROVIDER: None,
    "PyTorch": eager,
    "torch.compile": compiled,
    "traced": traced,
    "OpenVINO": openvino,
}


# --- the table --------------------------------------------------------------------------------------------------


def compete(case: Case, rounds: int, names: list[str]) -> tuple[dict[str, Timing], str]:
    """The timings of a row, in processor time where there is one thread, and how ours was run.

    Raises RuntimeError where a contender fails, or gives what PyTorch does not.
    """
    with tempfile.TemporaryDirectory() as folder:
        rivals: dict[str, Child | Provided] = {}
        try:
            for name in names:
                given = () if name in ("PyTorch", "torch.compile") else (folder,)
                maker = CONTENDERS[name]
                rivals[name] = provided(case, folder) if maker is None else Child(maker, case, *given)
            agree({name: rival.result() for name, rival in rivals.items()})
            turns = {name: partial(rival.turn, clock=clock()) for name, rival in rivals.items()}
            return interleave(turns, rounds), _way(folder).read_text(encoding="utf-8")
        finally:
            for rival in rivals.values():
                rival.close()


def clock() -> Callable[[], float]:
    return time.process_time if os.environ.get(THREADS) == "1" else time.perf_counter


def agree(results: Mapping[str, list[np.ndarray[Any, Any]]]) -> None:
    """Raises RuntimeError where a contender's outputs are not those of PyTorch."""
    for name, given in results.items():
        for array, expected in zip(given, results["PyTorch"], strict=True):
            greatest = np.abs(array - expected).max() / np.abs(expected).max()
            if array.shape != expected.shape or not greatest <= TOLERANCE:
                raise RuntimeError(f"{name} differs from PyTorch by {greatest:.1e} of the largest output")


def gemm_limit(rounds: int = 5) -> float:
    """GFLOP/s of the fastest fp32 product of square matrices that the contenders' libraries reach."""
    sides = {"onnxruntime": Child(ort_gemm), "PyTorch": Child(torch_gemm, "highest")}
    sides["oneDNN"] = Child(torch_gemm, "medium")
    taken = interleave({name: partial(child.turn, clock=clock()) for name, child in sides.items()}, rounds)
    for child in sides.values():
        child.close()
    return 2e-9 * GEMM_SIDE**3 / min(min(timing.seconds) for timing in taken.values())


GEMM_SIDE = 2048


def ort_gemm() -> Callable[[], object]:
    from onnx import TensorProto, helper, numpy_helper

    b = np.random.default_rng(0).standard_normal((GEMM_SIDE, GEMM_SIDE)).astype(np.float32)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, b.shape) for name in "ay"]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["y"])], "gemm", ends[:1], ends[1:], [numpy_helper.from_array(b, "b")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    session = opened(model.SerializeToString())
    return lambda: session.run(None, {"a": b})


def torch_gemm(precision: str) -> Callable[[], object]:
    import torch

    torch.set_float32_matmul_precision(precision)
    a = torch.randn(GEMM_SIDE, GEMM_SIDE)
    return lambda: a @ a


def row(case: Case, taken: Mapping[str, Timing], way: str, limit: float) -> list[str]:
    """Milliseconds of ours, how many times as long the others took, and the share of the limit that ours reaches.

    way: how ours was run.
    """
    own = taken["ours"]
    share = case.gflop() / own.median / limit
    others = [f"{taken[name].times(own):.2f}" if name in taken else "" for name in CONTENDERS if name != "ours"]
    best = min(taken, key=lambda name: taken[name].median)
    return [case.title, ms(own), f"{own.spread:.0%}", *others, f"{share:.0%}", best, way]


HEAD = [
    "",
    "ours, ms",
    "spread",
    *(f"{name} / ours" for name in CONTENDERS if name != "ours"),
    "of GEMM",
    "fastest",
    "ours runs",
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[""], help="rows whose title contains one of these")
    others = [name for name, maker in CONTENDERS.items() if name != "ours" and (maker or PYTHON.exists())]
    parser.add_argument("--against", nargs="*", default=others, help="the other contenders")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    parser.add_argument("--alone", action="store_true", help="one thread each, and processor time")
    chosen = parser.parse_args()
    if chosen.alone:
        os.environ[THREADS] = "1"
    limit = gemm_limit()
    print(f"GEMM limit: {digits(limit)} GFLOP/s", flush=True)
    known = recorded(BENCH / "README.md", "infer")
    rows = {title: [cells.get(name, "") for name in HEAD] for title, cells in known.items()}
    reached = f"{digits(limit)} GFLOP/s in a product of matrices of {GEMM_SIDE} by {GEMM_SIDE}"
    for case in cases():
        if any(part in case.title for part in chosen.only):
            rows[case.title] = row(case, *compete(case, chosen.rounds, ["ours", *chosen.against]), limit)
            print(" | ".join(rows[case.title]), flush=True)
            if chosen.write:
                text = f"{table(HEAD, [*rows.values()])}\n\n{machine(*PACKAGES)}; {reached}."
                record(BENCH / "README.md", "infer", text)
    return 0


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())
