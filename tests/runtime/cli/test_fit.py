import json
from pathlib import Path

import pytest

from dlc.compiler.memory.records import Setting
from dlc.compiler.memory.training import Budget, sizes_by_name
from dlc.runtime.spec import read_checked

SPECS = Path(__file__).parents[3] / "specs"
DIGITS = str(SPECS / "vision/digits.dl")
GPT2 = f"{SPECS}/sequence/gpt2.dl:GPT2"


def test_the_next_size_is_too_large(dlc) -> None:
    document = json.loads(dlc("fit", f"{DIGITS}:Digits8", "--memory", "512MB", "--solve", "N", "--json").stdout)
    spec = read_checked(DIGITS).trains["Digits8"]
    budget = Budget(spec, Setting(), spec.settings.optimizer)
    fits, next_one = (budget.at(sizes_by_name(budget.symbols, {"N": document["size"] + more})).total for more in (0, 1))
    assert fits == document["total"] <= 512_000_000 < next_one


def test_a_model_by_itself(dlc) -> None:
    result = dlc("fit", GPT2, "--memory", "24GB", "--solve", "N", "--set", "T=1024")
    assert result.exit_code == 0
    assert result.stdout.startswith("N = 21: training by adamw takes 23.6 GB of 24 GB\n")


def test_less_is_taken_by_inference_half_precision_and_sgd(dlc) -> None:
    def size(*more: str) -> int:
        common = ("fit", GPT2, "--memory", "24GB", "--solve", "N", "--set", "T=1024", "--json")
        return json.loads(dlc(*common, *more).stdout)["size"]

    assert size() < size("--optimizer", "sgd") < size("--precision", "bf16") < size("--inference")


def test_what_the_spec_forbids_is_the_bound(dlc) -> None:
    result = dlc("fit", GPT2, "--memory", "80GiB", "--solve", "T", "--set", "N=1")
    assert result.stdout.startswith("T = 1,024: ")
    assert "a sequence may not be longer than the context" in result.stdout


def test_a_share_of_a_multiple_is_told_as_a_whole(dlc, tmp_path: Path) -> None:
    (tmp_path / "even.dl").write_text(
        'model Even(x: float[N, T]) -> float[N, 2]:\n    require T % 4 == 0, "in fours"\n'
        '    return x -> rearrange("n (a b) -> n a b", b=4) -> mean(axes=[1, 2]) -> rearrange("n -> n 1")\n'
        "        -> linear(2)\n"
    )
    result = dlc("fit", "even.dl", "--memory", "1MB", "--solve", "T", "--set", "N=10", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["size"] % 4 == 0


def test_what_does_not_fit_at_all(dlc) -> None:
    result = dlc("fit", GPT2, "--memory", "1GB", "--solve", "N", "--set", "T=1024")
    assert result.exit_code == 1
    assert "error[DL8021]: GPT2 takes 2.69 GB at N = 1, and there are 1 GB" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--memory", "24GB", "--solve", "M", "--set", "T=8"), "GPT2 has no open dimension M"),
        (("--memory", "24GB", "--solve", "N"), "a number is due for T: add --set T=…"),
        (("--memory", "lots", "--solve", "N"), "lots: a size is due, as in 24GB or 512MiB"),
        (("--memory", "1GB", "--solve", "N", "--optimizer", "adamm"), "the optimisers are "),
        (("--memory", "1GB", "--solve", "N", "--optimizer", "sgd(momentum=2)"), "momentum"),
    ],
)
def test_wrong_usage(dlc, arguments: tuple[str, ...], told: str) -> None:
    result = dlc("fit", GPT2, *arguments)
    assert result.exit_code == 2
    assert told in result.stderr
