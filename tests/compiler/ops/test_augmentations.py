"""Augmentations: what they leave as it is, what they draw for each example, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from dlc.compiler.op import operations

from .refusals import evaluate, example, refusal
from .targets import Onnx, Torch

OPS = operations()
both = pytest.mark.parametrize("target", ["torch", "onnx"])


def run(target: str, name: str, inputs: tuple[str, ...], *arrays: np.ndarray[Any, Any], **static: Any) -> Any:
    case = example(OPS[name], *inputs, **static)
    torch.manual_seed(0)
    results = [each.numpy() for each in Torch(case)(arrays)] if target == "torch" else Onnx(case, {})(arrays)
    return results[0] if len(results) == 1 else results


def images(count: int, *sizes: int) -> np.ndarray[Any, Any]:
    """Images whose pixels all differ, and none of which is 0."""
    return (1 + np.arange(count * 2 * int(np.prod(sizes))).reshape(count, 2, *sizes)).astype(np.float32)


@both
@pytest.mark.parametrize("sizes", [(5,), (5, 6), (4, 4, 5)])
def test_a_crop_is_a_window_of_its_image(target: str, sizes: tuple[int, ...]) -> None:
    x = images(40, *sizes)
    type = " ".join(map(str, x.shape))
    crops = run(target, "random_crop", (type,), x, size=tuple(size - 2 for size in sizes), pad=1)
    padded = np.pad(x, [(0, 0), (0, 0)] + [(1, 1)] * len(sizes))
    places = set()
    for whole, crop in zip(padded, crops, strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(whole, crop.shape)[0]
        found = np.argwhere((windows == crop).all(axis=tuple(range(-crop.ndim, 0))))
        assert len(found) == 1
        places.add(tuple(found[0]))
    assert len(places) > 4 * len(sizes) - 1  # each image has a place of its own; 5 along each axis


@both
def test_a_shift_moves_a_whole_image_at_most_so_far(target: str) -> None:
    x = np.zeros((200, 1, 5, 7), np.float32)
    x[:, :, 2, 3] = 1
    moved = run(target, "random_shift", ("200 1 5 7",), x, by=(1, 2))
    assert (moved.sum(axis=(1, 2, 3)) == 1).all()
    rows, columns = np.nonzero(moved)[2:]
    assert set(rows) == {1, 2, 3}
    assert set(columns) == {1, 2, 3, 4, 5}
    np.testing.assert_array_equal(run(target, "random_shift", ("200 1 5 7",), x, by=0), x)


@both
def test_a_flip_turns_about_so_many_examples(target: str) -> None:
    x = images(400, 3, 4)
    flipped = run(target, "random_flip", ("400 2 3 4",), x, p=0.25)
    turned = (flipped == x[..., ::-1]).all(axis=(1, 2, 3))
    assert turned.mean() == pytest.approx(0.25, abs=0.1)
    np.testing.assert_array_equal(flipped[~turned], x[~turned])
    np.testing.assert_array_equal(run(target, "random_flip", ("400 2 3 4",), x, p=1.0, axis=2), x[:, :, ::-1])


@both
def test_an_erased_box_has_its_area_and_shape(target: str) -> None:
    x = np.ones((300, 3, 32, 32), np.float32)
    erased = run(target, "random_erase", ("300 3 32 32",), x, p=0.5, low=0.1, high=0.3, ratio=2.0, value=-1.0)
    assert set(np.unique(erased)) == {-1, 1}
    hit = (erased == -1).any(axis=(1, 2, 3))
    assert hit.mean() == pytest.approx(0.5, abs=0.12)
    heights, widths = ((erased[hit, 0] == -1).any(axis=axis).sum(axis=1) for axis in (2, 1))
    boxes = (erased[hit] == -1).sum(axis=(2, 3))
    assert (boxes == (heights * widths)[:, None]).all()  # one box, through all channels
    shares = heights * widths / 32**2
    assert 0.08 < shares.min() < 0.13 < 0.27 < shares.max() < 0.33
    assert 0.45 < (heights / widths).min() < 0.7 < 1.5 < (heights / widths).max() < 2.2


def test_mixup_mixes_pairs_and_their_targets_alike() -> None:
    x = torch.eye(6)
    torch.manual_seed(1)
    mixed, target = evaluate(example(OPS["mixup"], "6 6", "6 6"), x, x)
    torch.testing.assert_close(mixed, target)  # what is true of examples is true of their targets
    torch.testing.assert_close(mixed.sum(1), torch.ones(6))
    torch.testing.assert_close(mixed.sum(0), torch.ones(6))  # each goes into itself and into one other
    assert len(mixed.diag().unique()) <= 2  # one share for the batch; 1 where an example is mixed with itself


def test_cutmix_mixes_the_targets_by_area() -> None:
    x = torch.arange(8.0).reshape(8, 1, 1, 1).expand(8, 3, 16, 16).contiguous()
    for seed in range(20):
        torch.manual_seed(seed)
        mixed, target = evaluate(example(OPS["cutmix"], "8 3 16 16", "8"), x, torch.arange(8.0))
        torch.testing.assert_close(mixed.mean(dim=(1, 2, 3)), target)
        boxes = (mixed != x).any(dim=1)
        changed = boxes[boxes.any(dim=(1, 2))]
        assert all(torch.equal(box, changed[0]) for box in changed)  # one box for the batch


def test_a_crop_knows_how_small_an_image_may_be() -> None:
    error = refusal(OPS["random_crop"], "N 3 8 8", size=11, pad=1)
    assert (error.argument, error.message) == (
        "size",
        "the window is larger than the image: 11 against 10 with its padding of 2, along axis 2",
    )


@pytest.mark.parametrize(
    ("name", "inputs", "static", "argument", "words"),
    [
        ("random_crop", ("N C",), {"size": 2}, "x", "1 to 3 spatial"),
        ("random_crop", ("N C H W",), {"size": (2, 2, 2)}, "size", "3 entries"),
        ("random_shift", ("N C H W",), {"by": (1,)}, "by", "1 entry"),
        ("random_flip", ("N C",), {"axis": 2}, "axis", "no axis 2"),
        ("random_flip", ("N C",), {"axis": 0}, "axis", "numbers the examples"),
        ("random_erase", ("N C H",), {}, "x", "3 axes"),
        ("random_erase", ("N C H W",), {"low": 0.5}, "low", "above high"),
        ("mixup", ("N C", "int N"), {}, "target", "only their probabilities"),
        ("mixup", ("N C", "T 5"), {}, "target", "T examples, and x has N"),
        ("cutmix", ("N C", "N 5"), {}, "x", "2 axes"),
    ],
)
def test_refuses(name: str, inputs: tuple[str, ...], static: dict[str, Any], argument: str, words: str) -> None:
    error = refusal(OPS[name], *inputs, **static)
    assert error.argument == argument
    assert words in error.message
