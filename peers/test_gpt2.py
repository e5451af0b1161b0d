"""GPT-2 of published size."""

from collections.abc import Callable

import pytest
import torch

from .ours import Ours, tokens, trained

transformers = pytest.importorskip("transformers", reason="`make peers` installs what specs are compared with")


@pytest.fixture(scope="module")
def theirs() -> torch.nn.Module:
    torch.manual_seed(0)
    return trained(transformers.GPT2LMHeadModel(transformers.GPT2Config()))


@pytest.fixture(scope="module")
def ours(theirs: torch.nn.Module, imported: Callable[..., Ours]) -> Ours:
    return imported(theirs, "sequence/gpt2", "GPT2")


@pytest.mark.parametrize("length", [1, 2, 13, 512])
def test_logits(length: int, theirs: torch.nn.Module, ours: Ours) -> None:
    given = tokens(length, 50257, 1 if length > 100 else 3, length)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(given)).logits
    ours.compare({"tokens": given}, {"logits": expected})
