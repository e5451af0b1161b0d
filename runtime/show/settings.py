"""The reference of a training's settings: `python -m dlc.runtime.show.settings docs/training.md`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from dlc.compiler.checked import Checked, Parameter
from dlc.compiler.choice import Choice
from dlc.compiler.optimizers import Optimizer
from dlc.compiler.schedules import Schedule
from dlc.compiler.settings import Average, CheckpointInterval, Settings, StopEarly

_HEAD = """\
# Training

`dlc train FILE[:TRAIN] -o RUN` trains what a `train` block describes, and writes a run. This page lists all settings,
made from the classes that check them; [the emitted steps](steps.md) shows what a step becomes.

```dl
model Flower(x: float[N, 4]) -> (logits: float[N, 3]):
    return x -> linear(16) -> relu -> linear(3)

data Iris:
    source = sklearn("iris")
    x: float[4] = standardize(data)
    kind: int[] < 3 = target
    split = (train=0.7, valid=0.3)

train Fit on Iris:
    net = Flower()
    settings:
        batch = 30
        epochs = 100
        optimizer = adamw(lr=1e-2, weight_decay=0.05)
        schedule = cosine(warmup=10)
        average = ema(0.99)
        stop_early = (patience=10, on="valid accuracy", better="more")
        clip_norm = 1.0
        checkpoint = (epochs=5, keep=3)
    step:
        logits = net(x)
        minimize cross_entropy(logits, kind)
        report accuracy = accuracy(logits, kind)
```

A setting is overridden on the command line by `--set settings.batch=16` or `--set settings.optimizer.lr=1e-3`.
"""

_WHAT = {
    "batch": "examples in a step, or `all`",
    "epochs": "how often all examples are passed; this or `steps` is given",
    "steps": "how many batches are passed in all",
    "optimizer": "how weights follow their gradients, see [optimisers](#optimisers)",
    "rates": "factors of the learning rate by parts, as in `[(net.body, 0.1), (net.head.bias, 2)]`; of a weight the "
    "longest path counts, and 0 leaves it as it is",
    "schedule": "how the learning rate changes, see [schedules](#schedules)",
    "clip_norm": "the largest norm of the gradient of all that a `minimize` updates; larger ones are scaled down",
    "clip_value": "the largest size of each number of a gradient",
    "accumulate": "so many steps make one update, of the mean gradient over their examples",
    "average": "weights averaged over the training, see [averages](#averages)",
    "stop_early": "when training ends before its time, see [early stopping](#early-stopping)",
    "shuffle": "whether each epoch has an order of its own",
    "seed": "of the split, the first weights, the order and all random draws",
    "precision": "what networks compute in: weights and updates are fp32 in any case, fp16 scales its losses",
    "checkpoint": "when the state is saved, see [checkpoints](#checkpoints)",
    "bucket": "the field by which batches are of like length, as in `bucket = length`: each pool of fifty batches is "
    "sorted by it",
    "recompute": "the block whose instances keep no activations for gradients and compute them again when these are "
    "due, as in `recompute = Layer`; by default none, unless a step would not fit into memory",
    "plan": "how a step is run: as is measured to be fastest, or as PyTorch runs it by default, see "
    "[how a step is run](#how-a-step-is-run)",
}

_TAIL = """\
## How a step is run

By `plan = "auto"`, which holds unless a spec says otherwise, a training begins with the choice of how its steps are
run. What applies to it is tried on its first batches, in turns with what was best before, and taken where it gains
3 % or more:

| lever | is | applies to |
| --- | --- | --- |
| `memory kept` | glibc keeps up to a gibibyte of freed memory, and asks the system for none at each step \
| processors, Linux |
| `fused optimiser` | one kernel updates all weights | sgd, adam, adamw, muon |
| `matmul precision medium` | products of fp32 matrices by a faster library, if probes of the network's own \
shapes err no more than four times as much against float64 as fp32 does; attention stays \
as it is | fp32 |
| `channels-last` | weights of convolutions laid out as these read them | convolutions over images |
| `attention written out` | as products and a softmax in place of the fused kernel; tried by itself \
and with the matmul precision, which then holds for them too | attention |
| `inductor` | networks compiled by `torch.compile`, in trainings of a quarter of an hour or more where it \
gains 10 % | what `grad` does not differentiate, no loops over turns, no `recompute` |

Before all of that, a step that would take more than nine tenths of the free memory gets less to keep: the block of
`recompute`, or where none is set the one with which the step just fits, computes its activations a second time. What
is learned stays the same, to the bit on a processor.

The first two cost nothing, and are taken without a trial. So do two that are done as the step is written: loops
compute turn by turn only what depends on their state, and one that is a gated recurrent unit or a long short-term
memory, whatever its parts are called, runs as one operation, whose backward gathers the gradients of its weights
after the loop; the latter in fp32, and where `grad` differentiates nothing. Trials take 2 % of the training's time or
less, and a training of fewer than 500 steps, or less than three seconds by the first of them, has none. What they do
is undone: weights, buffers and random generators start as they would have without. One line tells what was tried and
what each gained, as does `plan` in `config.json`; a run that is resumed or measured takes its recorded plan, and so
repeats its bits. Two trainings of one spec may get different plans, and differ in the last bits: `plan = "plain"`
runs the text that follows the spec line by line, as PyTorch does by default, and leaves the machine no choice.

## Going on

`dlc train FILE -o RUN --resume` goes on from the newest checkpoint whose bytes are those that were written; damaged
ones are named, skipped, and kept as `checkpoints/N.damaged`. The training ends in the very same bits as one that
nothing stopped, on the same machine with the same version of PyTorch; `dlc train --verify-resume` proves it for a spec,
by a second training that is killed at a random step. Another spec or other data is an error that says what has changed;
with `--force` training goes on all the same, if weights and optimiser fit, and `config.json` takes note of it. Another
number of processes takes the same examples, and may differ in the last bits, which is told; see
[growing](growing.md).

Ctrl-C and SIGTERM write a checkpoint first; a second Ctrl-C ends at once. A loss or a gradient that is not finite ends
the training before it changes a weight, and says where in the network it came up first.

## What a run holds

| file | is |
| --- | --- |
| `spec.dl`, with what it imports | the spec that was trained |
| `config.json`, `environment.json` | how it was started, and on what |
| `model.safetensors` | the weights: their average where one is asked for, those of the best epoch after an early stop |
| `state.safetensors`, `state.json` | what else it takes to go on |
| `checkpoints/` | the last few of these three, with hashes of their bytes |
| `metrics.jsonl` | a line for each epoch |
| `events.out.tfevents…` | the same for TensorBoard |
| `report.html` | curves, networks, confusion, what procedures give; one file without scripts |
"""


def reference() -> str:
    """The whole page, as Markdown."""
    parts = [
        _HEAD,
        "## Settings",
        _table(Settings, _WHAT),
        "## Optimisers",
        "`optimizer = adamw(lr=1e-3)`, or `minimize e over part using sgd(lr=0.1)` for one loss alone.",
        *_family(Optimizer),
        "## Schedules",
        "Each takes `warmup`, a number of steps that lead linearly up to the learning rate.",
        *_family(Schedule),
        "## Averages",
        f"{_doc(Average)} Statistics of batch normalisation are measured anew for them after each epoch, over the "
        "training part, as PyTorch's `update_bn` does.",
        *_family(Average),
        "## Early stopping",
        f'`stop_early = (patience=5, on="valid loss")`. {_doc(StopEarly)} The run ends with the weights of its best '
        "epoch.",
        _table(StopEarly),
        "## Checkpoints",
        f"`checkpoint = (minutes=10, keep=3)`. {_doc(CheckpointInterval)}",
        _table(CheckpointInterval),
        _TAIL,
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _family(family: type[Choice]) -> Iterator[str]:
    for name, kind in family.choices().items():
        yield f"### `{name}`\n\n{_doc(kind)}"
        if kind.fields():
            yield _table(kind)


def _doc(kind: type[Checked]) -> str:
    return " ".join((kind.__doc__ or "").split())


def _table(kind: type[Checked], what: dict[str, str] | None = None) -> str:
    head = ["setting", "is", "default", *(["tells"] if what else [])]
    rows = [
        [f"`{name}`", _kind(field), _default(field), *([what[name]] if what else [])]
        for name, field in kind.fields().items()
    ]
    lines = [" | ".join(row).replace(" | ", " \x00 ").replace("|", "\\|").replace("\x00", "|") for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *(f"| {line} |" for line in lines)])


def _default(field: Parameter) -> str:
    if field.required:
        return "must be given"
    value = field.default
    if value is None:
        return "none"
    if isinstance(value, Choice):
        return f"`{value.name}`"
    if isinstance(value, Checked) or value == ():
        return ""
    text = f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else _number(value)
    return f"`{text}`"


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _kind(field: Parameter) -> str:
    return _named(field.annotation)


def _named(annotation: Any) -> str:
    """A type with its bounds, in words."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return _named(inner) + _bounds(metadata)
    if get_origin(annotation) is Literal:
        return " or ".join(f'`"{word}"`' for word in get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(_named(part) for part in get_args(annotation) if part is not NoneType)
    if get_origin(annotation) is tuple:
        parts = [part for part in get_args(annotation) if part is not Ellipsis]
        return "a list of pairs" if Ellipsis in get_args(annotation) else f"{len(parts)} times {_named(parts[0])}"
    words = {int: "a whole number", float: "a number", bool: "`true` or `false`", str: "a string"}
    if annotation in words:
        return words[annotation]
    return "a call" if issubclass(annotation, Choice) else "a record"


_SIGNS = {"gt": "above", "ge": "from", "lt": "below", "le": "up to"}


def _bounds(metadata: list[Any]) -> str:
    """`above 0, below 1`, of pydantic's bounds."""
    found = re.findall(r"\b(gt|ge|lt|le)=([-\d.e]+)", " ".join(map(repr, metadata)))
    told = ", ".join(f"{_SIGNS[sign]} {float(bound):g}" for sign, bound in found)
    return f" {told}" if told else ""


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference())
