"""T5 of published size, its encoder and its decoder."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from .ours import Ours, tokens, trained

transformers = pytest.importorskip("transformers", reason="`make peers` installs what specs are compared with")


@pytest.fixture(scope="module")
def theirs() -> torch.nn.Module:
    torch.manual_seed(0)
    config = transformers.T5Config(vocab_size=32128, d_model=512, d_ff=2048, num_layers=6, num_heads=8, d_kv=64)
    model = trained(transformers.T5ForConditionalGeneration(config))
    for name, parameter in model.named_parameters():
        if "relative_attention_bias" in name:
            torch.nn.init.normal_(parameter)
    return model


@pytest.fixture(scope="module")
def ours(theirs: torch.nn.Module, imported: Callable[..., Ours]) -> Ours:
    return imported(theirs, "sequence/t5", "T5")


# Distances of 2 * 512 go far beyond the 128 at which the tables end.
@pytest.mark.parametrize(("source", "target"), [(1, 1), (2, 13), (13, 2), (512, 7), (40, 512)])
def test_logits_and_states(
    source: int,
    target: int,
    theirs: torch.nn.Module,
    ours: Ours,
) -> None:
    count = 1 if source + target > 100 else 3
    seen = np.arange(source) < np.maximum(1, source - np.arange(count) * (source // 3))[:, None]
    given = {"source": tokens(source, 32128, count, source), "seen": seen}
    given["target"] = tokens(target + 1, 32128, count, target)
    sides = {name: torch.from_numpy(array) for name, array in given.items()}
    with torch.no_grad():
        expected = theirs(sides["source"], sides["seen"].long(), sides["target"])
    wanted = {"logits": expected.logits, "states": expected.encoder_last_hidden_state}
    ours.compare(given, wanted)
