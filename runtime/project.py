"""The files of a project that has just been started."""

from __future__ import annotations

import random

SPEC = """\
language 1

# The kind of a flower from four measures of it.
let width = 16

model Classifier(measures: float[N, 4], kinds = 3) -> (logits: float[N, kinds]):
    h = measures -> linear(width) -> relu
    logits = h -> linear(width) -> relu -> linear(kinds)
    ensure independent(logits, measures, N)
    ensure parameters() < 1000
    return logits

data Flowers:
    source = csv("flowers.csv")
    measures: float[4] = standardize(stack(
        sepal_length, sepal_width, petal_length, petal_width, axis=0))
    kind: int[] < 3 = kind
    split = (train=0.7, valid=0.15, test=0.15)

train Kinds on Flowers:
    net = Classifier()
    settings:
        batch = 16
        epochs = 40
        optimizer = adamw(lr=1e-2)
        schedule = cosine(warmup=10)
    step:
        logits = net(measures)
        minimize cross_entropy(logits, kind)
        report accuracy = accuracy(logits, kind)
"""

_README = """\
# {name}

`spec.dl` declares a network, the data it learns from and what it is trained on; `flowers.csv` is that data, 150 made-up
flowers of three kinds.

| command | does |
| --- | --- |
| `dlc check spec.dl` | checks names, types and shapes, and proves the two claims of the network |
| `dlc show spec.dl` | what each layer gives and costs |
| `dlc train spec.dl -o runs/first` | trains, in some seconds |
| `dlc eval runs/first` | measures it on flowers that it has not seen |
| `dlc export runs/first -o flowers.onnx` | writes it as ONNX, compared with PyTorch first |
| `dlc run flowers.onnx --in "measures=[[0.5, -1.2, 0.3, 0.9]]"` | runs it |

What to try next: another `width` by `--set width=32`; a layer more, and `dlc diff` between the two specs; your own
table in place of `flowers.csv`.
"""

_KINDS = ((5.0, 3.4, 1.5, 0.25), (5.9, 2.8, 4.3, 1.3), (6.6, 3.0, 5.6, 2.0))  # means of the measures, in centimetres
_SPREAD = (0.4, 0.3, 0.35, 0.2)
_EACH = 50


def files(name: str) -> dict[str, str]:
    """The text of each file of a new project of that name."""
    return {"spec.dl": SPEC, "flowers.csv": _flowers(), "README.md": _README.format(name=name)}


def _flowers() -> str:
    """Flowers drawn from a normal distribution for each kind, the same each time."""
    draw = random.Random(1)
    rows = ["sepal_length,sepal_width,petal_length,petal_width,kind"]
    for kind, means in enumerate(_KINDS):
        for _ in range(_EACH):
            measures = (max(0.1, draw.gauss(mean, spread)) for mean, spread in zip(means, _SPREAD, strict=True))
            rows.append(",".join([*(f"{measure:.1f}" for measure in measures), str(kind)]))
    return "\n".join(rows) + "\n"
