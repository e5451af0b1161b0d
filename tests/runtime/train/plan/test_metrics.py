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
    monkeypatch.setattr(choosing, "SHARE", 1.0)
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
@pytest.mark.parametrize(("spec", "metric"), [(ROOT / "specs/vision/digits.dl", "accuracy")])
def test_the_same_metric_is_reached_over_five_seeds(tmp_path: Path, spec: Path, metric: str) -> None:
    """Means differ by less than two standard errors of their difference, or by less than a hundredth."""
    found = {
        plan: [reached(spec, tmp_path / f"{plan}-{seed}", plan, seed, metric)[0] for seed in range(5)]
        for plan in ("plain", "auto")
    }
    apart = abs(fmean(found["auto"]) - fmean(found["plain"]))
    noise = ((stdev(found["auto"]) ** 2 + stdev(found["plain"]) ** 2) / 5) ** 0.5
    assert apart <= max(2 * noise, 0.01), found
