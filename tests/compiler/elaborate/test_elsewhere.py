"""The words of other libraries lead to what there is."""

import pytest

from dlc.compiler.elaborate.elsewhere import name_here
from dlc.compiler.op import operations

OPERATORS = {"+", "-", "*", "/", "%", "**", "true", "false", "none"}


@pytest.mark.parametrize(
    ("word", "here"),
    [
        ("Conv2d", "conv"),
        ("GRUCell", "gru_cell"),
        ("chunk", "split"),
        ("tile", "repeat_axis"),
        ("MultiheadAttention", "attention"),
        ("SparseCategoricalCrossentropy", "cross_entropy"),
        ("masked_fill", "where"),
        ("BatchNormalization", "batch_norm"),
        ("linear", None),
        ("gru_cell", None),
    ],
)
def test_a_word_of_another_library(word: str, here: str | None) -> None:
    assert name_here(word) == here


def test_all_words_lead_to_operations() -> None:
    from dlc.compiler.elaborate import elsewhere

    known = {name for name, op in operations().items() if not op.hidden}
    words = vars(elsewhere)["_NAMES"]
    assert set(words.values()) <= known | OPERATORS
    assert not [word for word, here in words.items() if word in known and word != here]
