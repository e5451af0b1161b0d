"""Recurrences written from their equations against the layers of PyTorch and the operators of ONNX.

    .venv-peers/bin/python -m bench.recurrent [--rounds 7] [--write]

Training is a forward and a backward pass through all states. Each row is also a check: results and gradients are
those of the same spec without the passes over loops, to 1e-5 of the largest, and onnxruntime's results are PyTorch's.
With one thread, OMP_NUM_THREADS=1, it tells processor time.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.timing import interleave, machine, ms, record, table, timed
from dlc.compiler.graph import Graph
from dlc.compiler.onnx.emit import emit_model
from dlc.compiler.passes import LOOPS, Pass
from dlc.compiler.passes.gather import gather
from dlc.compiler.torch.emit import emit_graph
from dlc.runtime.spec import read_checked

ROOT = Path(__file__).parents[1]
WIDTH = 256
LENGTHS, BATCHES = (16, 64, 256), (1, 32)
ALONE = os.environ.get("OMP_NUM_THREADS") == "1"  # on a machine that others use processor time is what tells
CLOCK = time.process_time if ALONE else time.perf_counter
GRU = ROOT / "tests/examples/gru.dl"
LSTM = ROOT / "bench/specs/peepholes.dl"
OPERATOR = """
model Operator(x: float[N, T, {width}]) -> (hs: float[N, T, {width}], last: float[N, {width}]):
    {results} = x -> {layer}({width})
    return hs, last
"""


def spec(path: Path, folder: Path) -> Graph:
    """The model of a spec, for inputs as wide as its states."""
    text = path.read_text(encoding="utf-8").replace(
        "float[N, T, 6], width = 32", f"float[N, T, {WIDTH}], width = {WIDTH}"
    )
    return graph(text, folder / path.name)


def operator(layer: str, results: str, folder: Path) -> Graph:
    return graph(OPERATOR.format(width=WIDTH, layer=layer, results=results), folder / f"{layer}.dl")


def graph(text: str, path: Path) -> Graph:
    path.write_text(text, encoding="utf-8")
    return list(read_checked(path, {}).models.values())[-1].graph


def module(made: Graph, passes: tuple[Pass, ...] = LOOPS) -> nn.Module:
    names: dict[str, Any] = {"__name__": "emitted"}
    exec(compile(emit_graph(made, passes), f"{made.name}.py", "exec"), names)
    torch.manual_seed(0)
    return names[made.name]()


def trained(net: nn.Module, x: Tensor) -> Callable[[], list[Tensor]]:
    """A step without the optimiser's; gives the results and the gradients."""

    def step() -> list[Tensor]:
        results = flat(net(x))
        net.zero_grad(set_to_none=True)
        (results[0].square().mean() + results[1].sum()).backward()
        return [*results, *(each.grad for each in net.parameters() if each.grad is not None)]

    return step


def inferred(net: nn.Module, x: Tensor) -> Callable[[], list[Tensor]]:
    def run() -> list[Tensor]:
        with torch.inference_mode():
            return flat(net(x))

    return run


def session(made: Graph, net: nn.Module, x: Tensor) -> Callable[[], list[Tensor]]:
    import onnxruntime

    weights = {name: value.detach().numpy() for name, value in net.state_dict().items()}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    model = emit_model(made, weights).SerializeToString()
    opened = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    given = {"x": x.numpy()}
    return lambda: [torch.from_numpy(result) for result in opened.run(None, given)]


def flat(results: Any) -> list[Tensor]:
    return [each for part in results for each in (part if isinstance(part, tuple) else (part,))]


def apart(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    """The largest difference, as a part of the largest magnitude of its tensor."""
    return max(((a - b).abs().max() / b.abs().max().clamp_min(1e-30)).item() for a, b in zip(ours, theirs, strict=True))


def row(ours: Graph, layer: Graph, net: nn.Module, length: int, batch: int, rounds: int) -> list[str]:
    torch.manual_seed(1)
    x = torch.randn(batch, length, WIDTH)
    fast, plain = module(ours, (gather, *LOOPS)), module(ours, ())
    differs = apart(trained(fast, x)(), trained(plain, x)())
    fused = session(ours, fast, x)
    infers = apart(fused(), inferred(fast, x)())
    if differs > 1e-5 or infers > 1e-4:
        raise SystemExit(f"T {length}, batch {batch}: gradients differ by {differs:.1e}, onnxruntime by {infers:.1e}")
    step = {"ours": trained(fast, x), "plain": trained(plain, x), "layer": trained(net, x)}
    infer = {"ours": inferred(fast, x), "layer": inferred(net, x), "onnx": fused}
    infer["operator"] = session(layer, module(layer), x)
    training = turns(step, rounds)
    inference = turns(infer, rounds)

    def speed(taken: Mapping[str, Any], name: str, other: str) -> str:
        return f"{taken[other].times(taken[name]):.2f}"

    return [
        f"{length}, {batch}",
        ms(training["ours"]),
        speed(training, "ours", "plain"),
        speed(training, "ours", "layer"),
        ms(inference["ours"]),
        speed(inference, "ours", "layer"),
        ms(inference["onnx"]),
        speed(inference, "onnx", "operator"),
        f"{differs:.0e}",
    ]


def turns(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Any]:
    return interleave({name: lambda call=call: timed(call, clock=CLOCK) for name, call in calls.items()}, rounds)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--write", action="store_true", help="put the tables into bench/README.md")
    arguments.add_argument("--lengths", type=int, nargs="*", default=LENGTHS)
    arguments.add_argument("--only", nargs="*", default=["gru", "lstm"], choices=["gru", "lstm"])
    given = arguments.parse_args()
    from tempfile import TemporaryDirectory

    head = [
        "T, batch",
        "training, ms",
        "times plain",
        "times layer",
        "inference, ms",
        "times layer",
        "ONNX, ms",
        "times operator",
        "differs",
    ]
    parts = [
        f"{machine('torch', 'onnxruntime')}; states and inputs of {WIDTH}; `times x`: how many times as fast as x."
    ]
    with TemporaryDirectory() as folder:
        rivals = {
            "`gru.dl` against `nn.GRU` and ONNX's `GRU`": (
                spec(GRU, Path(folder)),
                operator("gru", "hs, last", Path(folder)),
                nn.GRU,
            ),
            "An LSTM with peepholes against `nn.LSTM` and ONNX's `LSTM`, which have none here": (
                spec(LSTM, Path(folder)),
                operator("lstm", "hs, last, _", Path(folder)),
                nn.LSTM,
            ),
        }
        for title, (ours, layer, kind) in rivals.items():
            if kind.__name__.lower() not in given.only:
                continue
            net = kind(WIDTH, WIDTH, batch_first=True)
            rows = [row(ours, layer, net, length, batch, given.rounds) for length in given.lengths for batch in BATCHES]
            parts.append(f"{title}\n\n{table(head, rows)}")
            print(parts[-1], flush=True)
    if given.write:
        record(ROOT / "bench/README.md", "recurrent", "\n\n".join(parts))


if __name__ == "__main__":
    main()
