"""What positions are for: without them the transformer's encoder goes with the order of its tokens."""

from pathlib import Path

import pytest
import torch

import dlc
from zoo.families.sequence import POSITIONS

SPEC = Path(__file__).parents[2] / "specs" / "sequence" / "transformer.dl"


def _moved(positions: str) -> float:
    """How far the states of permuted tokens lie from the states, permuted."""
    torch.manual_seed(0)
    net = dlc.load(SPEC, positions=positions).torch("Transformer").eval()
    for weight in net.parameters():  # far from where they start, which may be nought
        torch.nn.init.normal_(weight, std=0.3)
    tokens = torch.randint(25, (3, 12))
    order = torch.randperm(12)
    with torch.no_grad():
        return float((net.Encoder(tokens[:, order]) - net.Encoder(tokens)[:, order]).abs().max())


def test_without_positions_permuting_tokens_permutes_states() -> None:
    assert _moved("none") < 1e-4


@pytest.mark.parametrize("positions", POSITIONS)
def test_with_positions_it_does_not(positions: str) -> None:
    assert _moved(positions) > 0.1


def test_the_claim_is_proved_and_does_not_hold_with_positions(tmp_path: Path) -> None:
    """The same claim about an encoder with positions is refused."""
    (tmp_path / "seq2seq.dl").write_text((SPEC.parent / "seq2seq.dl").read_text("utf-8"))
    copy = tmp_path / "transformer.dl"
    text = SPEC.read_text("utf-8")
    claim = 'if positions == "none":\n        ensure equivariant'
    assert claim in text
    copy.write_text(text.replace(claim, 'if positions != "other":\n        ensure equivariant'))
    assert dlc.load(copy, positions="none").program.models
    for positions in POSITIONS:
        with pytest.raises(dlc.Refusal):
            dlc.load(copy, positions=positions)
