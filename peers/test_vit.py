"""ViT-B/16 of published size."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from .ours import Ours, trained

transformers = pytest.importorskip("transformers", reason="`make peers` installs what specs are compared with")


@pytest.fixture(scope="module")
def theirs() -> torch.nn.Module:
    torch.manual_seed(0)
    config = transformers.ViTConfig(num_labels=1000, layer_norm_eps=1e-6)
    return trained(transformers.ViTForImageClassification(config))


@pytest.fixture(scope="module")
def ours(theirs: torch.nn.Module, imported: Callable[..., Ours]) -> Ours:
    return imported(theirs, "vision/vit_b16", "ViT")


@pytest.mark.parametrize("count", [1, 3])
def test_logits(count: int, theirs: torch.nn.Module, ours: Ours) -> None:
    given = np.random.default_rng(count).normal(size=(count, 3, 224, 224)).astype(np.float32)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(given)).logits
    ours.compare({"image": given}, {"logits": expected})
