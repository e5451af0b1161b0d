"""Two processes give the losses of one process with the same batches, whatever is trained.

All specs are trained once by one process and once by two and by three, each in processes of their own. In double
precision nothing but the order of sums is between them; with DLC_LONG=1 in the environment single precision, of which
less can be asked, is held to 1e-6 too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.train.several.specs import SPECS

SCRIPT = Path(__file__).parent / "trained.py"

Trained = dict[str, dict[str, Any]]


def trained(folder: Path, dtype: str, processes: int) -> list[Trained]:
    """What each process gave, all specs having been trained."""
    out = folder / f"{dtype}-{processes}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    if processes > 1:
        environment |= {"WORLD_SIZE": str(processes), "DLC_STORE": str(folder / f"store-{processes}")}
    command = [sys.executable, str(SCRIPT), str(folder), dtype, str(out)]
    started = [
        subprocess.Popen(command, env={**environment, "RANK": str(rank)}, stderr=subprocess.PIPE, text=True)
        for rank in range(processes)
    ]
    for process in started:
        _, told = process.communicate(timeout=300)
        assert process.returncode == 0, told
    return [json.loads(Path(f"{out}.{rank}").read_text()) for rank in range(processes)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("specs")
    for name, text in SPECS.items():
        (folder / f"{name}.dl").write_text(text)
    return folder


@pytest.fixture(scope="module")
def alone(folder: Path) -> Trained:
    return trained(folder, "float64", 1)[0]


LONG = bool(os.environ.get("DLC_LONG"))


@pytest.fixture(scope="module", params=[2, 3] if LONG else [2])
def together(folder: Path, request: pytest.FixtureRequest) -> list[Trained]:
    return trained(folder, "float64", request.param)


@pytest.mark.parametrize("name", SPECS)
def test_several_processes_give_the_losses_of_one(name: str, alone: Trained, together: list[Trained]) -> None:
    due, found = alone[name], together[0][name]
    assert len(due["losses"]) == (14 if name == "stopped early" else 50)
    tolerance = 1e-6 if name == "quasi-Newton" else 1e-12  # a line search makes much of little
    if name == "means assigned":  # it minimises nothing
        assert found["losses"] == due["losses"] == [None] * 50
    else:
        assert found["losses"] == pytest.approx(due["losses"], rel=tolerance)
    assert len(found["epochs"]) == len(due["epochs"])
    for ours, theirs in zip(found["epochs"], due["epochs"], strict=True):
        for part in theirs:
            assert ours[part] == pytest.approx(theirs[part], rel=1e-6, abs=1e-9)
    assert found["weights"] == pytest.approx(due["weights"], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", SPECS)
def test_all_processes_end_alike_to_the_last_bit(name: str, alone: Trained, together: list[Trained]) -> None:
    for other in together[1:]:
        assert other[name] == together[0][name]
    assert together[0][name]["draw"] == alone[name]["draw"]  # and no draw was one too many


@pytest.mark.skipif(not LONG, reason="takes half a minute")
def test_single_precision_gives_the_same_to_1e_6(folder: Path) -> None:
    (due,), (found, _) = trained(folder, "float32", 1), trained(folder, "float32", 2)
    for name in SPECS:
        if name not in ("quasi-Newton", "means assigned"):  # the first amplifies rounding, the second minimises nothing
            assert found[name]["losses"] == pytest.approx(due[name]["losses"], rel=1e-6, abs=1e-6), name
