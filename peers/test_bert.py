"""BERT of published size, with texts of several lengths and two sentences each."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from .ours import Array, Ours, tokens, trained

transformers = pytest.importorskip("transformers", reason="`make peers` installs what specs are compared with")


@pytest.fixture(scope="module")
def theirs() -> torch.nn.Module:
    torch.manual_seed(0)
    model = trained(transformers.BertForPreTraining(transformers.BertConfig()))
    torch.nn.init.normal_(model.bert.embeddings.word_embeddings.weight[0].data, std=0.02)  # which starts at zeros
    return model


def texts(length: int) -> dict[str, Array]:
    """Some end early, and the second sentence begins somewhere."""
    count = 1 if length > 100 else 3
    ends = np.maximum(1, length - np.arange(count) * (length // 3))[:, None]
    place = np.arange(length)[None]
    return {
        "tokens": tokens(length, 30522, count, length),
        "segment": (place >= ends // 2).astype(np.int64),
        "seen": place < ends,
    }


def called(model: torch.nn.Module, given: dict[str, Array]) -> object:
    sides = {name: torch.from_numpy(array) for name, array in given.items()}
    with torch.no_grad():
        return model(sides["tokens"], token_type_ids=sides["segment"], attention_mask=sides["seen"].long())


@pytest.fixture(scope="module")
def body(theirs: torch.nn.Module, imported: Callable[..., Ours]) -> Ours:
    return imported(theirs, "sequence/bert", "BERT")


@pytest.fixture(scope="module")
def heads(theirs: torch.nn.Module, imported: Callable[..., Ours]) -> Ours:
    return imported(theirs, "sequence/bert", "Pretraining")


@pytest.mark.parametrize("length", [1, 2, 13, 512])
def test_states(length: int, theirs: torch.nn.Module, body: Ours) -> None:
    given = texts(length)
    expected = called(theirs.bert, given)
    wanted = {"states": expected.last_hidden_state, "pooled": expected.pooler_output}
    body.compare(given, wanted)


@pytest.mark.parametrize("length", [1, 2, 13, 512])
def test_heads(length: int, theirs: torch.nn.Module, heads: Ours) -> None:
    given = texts(length)
    expected = called(theirs, given)
    wanted = {"words": expected.prediction_logits, "follows": expected.seq_relationship_logits}
    heads.compare(given, wanted)


def test_the_mask_matters(body: Ours) -> None:
    given = texts(13)
    seen = body.outputs(given)["onnxruntime"]["states"]
    blind = body.outputs({**given, "seen": np.ones_like(given["seen"])})["onnxruntime"]["states"]
    assert np.abs(seen[1] - blind[1]).max() > 1e-2
