"""A training by its plan comes as far as one by the plain plan."""

import os
from pathlib import Path
from statistics import fmean, stdev

import pytest

from dlc.runtime.spec import read_checked
from dlc.runtime.train.plan import choosing
from dlc.runtime.train.run import Run
from dlc.runtime.train.trainer import train

ROOT = Path(__file__).parents[4]
TEXT = """
data Docs:
    source = builtin("python_docs", tokenizer=bytes(), window=65, stride=64)
    tokens: int[65] < 256
    split = (train=0.02, valid=0.01, test=0.97)

train Predict on Docs:
    net = Net()
    settings:
        batch = 16
        steps = 150
        optimizer = adam(lr=4e-3)
        clip_norm = 1.0
    step:
        loss = cross_entropy(net(tokens[:, :-1]), tokens[:, 1:])
        minimize loss
        report bits = loss / log(2)
"""
# A gated recurrent unit from its equations, which the plan runs as one operation.
CHARACTERS = (
    """
model Net(x: int[N, T] < 256) -> (logits: float[N, T, 256]):
    gates = linear(192)
    candidate = linear(96)
    e = embedding(x, 256, 48)
    h = zeros(N, 96)
    loop e_t in e along 1 collecting h as hs:
        u, r = concat(e_t, h, axis=1) -> gates -> sigmoid -> split(2, axis=1)
        c = concat(e_t, r * h, axis=1) -> candidate -> tanh
        h = (1 - u) * h + u * c
    return hs -> dropout(0.1) -> linear(256)
"""
    + TEXT
)
GPT = (ROOT / "tests/examples/gpt.dl").read_text() + TEXT.replace(
    "net = Net()", "net = GPT(width=64, depth=2, heads=4)"
).replace("lr=4e-3", "lr=2e-3")


def reached(spec: Path, folder: Path, plan: str, seed: int, metric: str, **given: str) -> tuple[float, Run]:
    """The last epoch's metric on the part `valid`, and the run."""
    overrides = {"settings.plan": f'"{plan}"', "settings.seed": str(seed), **given}
    program = read_checked(spec, overrides)
    chosen = next(iter(program.trains.values()))
    run = Run.create(folder, program, chosen, overrides)
    result = train(chosen, program, run, overrides=overrides, quiet=True, device="cpu", report=False)
    value = result.parts["valid"][metric]
    assert value is not None
    return value, run


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Levers are tried however short the training is."""
    monkeypatch.setattr(choosing, "SHARE", 100.0)
    monkeypatch.setattr(choosing, "_LEAST_STEPS", 0)
    monkeypatch.setattr(choosing, "_LEAST_SECONDS", 0.0)
    monkeypatch.setattr(choosing, "_MOST_SECONDS", 5.0)  # too little for a compiler


@pytest.mark.usefixtures("eager")
def test_the_same_metric_is_reached(tmp_path: Path, spec: Path) -> None:
    plain, run = reached(spec, tmp_path / "plain", "plain", 0, "error")
    assert (run.config.plan or {})["tried"] == []
    ours, run = reached(spec, tmp_path / "auto", "auto", 0, "error")
    assert (run.config.plan or {})["tried"]
    assert ours == pytest.approx(plain, rel=1e-3)


@pytest.mark.skipif("DLC_LONG" not in os.environ, reason="takes minutes")
@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    ("text", "metric"),
    [((ROOT / "specs/vision/digits.dl").read_text(), "accuracy"), (CHARACTERS, "bits"), (GPT, "loss")],
    ids=["digits", "characters", "gpt"],
)
def test_the_same_metric_is_reached_over_five_seeds(tmp_path: Path, text: str, metric: str) -> None:
    """Means differ by less than two standard errors of their difference, or by less than a hundredth."""
    spec = tmp_path / "spec.dl"
    spec.write_text(text)
    found = {
        plan: [reached(spec, tmp_path / f"{plan}-{seed}", plan, seed, metric)[0] for seed in range(5)]
        for plan in ("plain", "auto")
    }
    for plan, values in found.items():
        print(f"{metric} by {plan}: {fmean(values):.4f} ± {stdev(values):.4f}")
    apart = abs(fmean(found["auto"]) - fmean(found["plain"]))
    noise = ((stdev(found["auto"]) ** 2 + stdev(found["plain"]) ** 2) / 5) ** 0.5
    assert apart <= max(2 * noise, 0.01), found
