"""Networks for images."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any

from zoo.published import published
from zoo.row import need, row
from zoo.workshop import Workshop

if TYPE_CHECKING:
    from torch import Tensor


@row(
    "vision/convnet",
    what="a network that is counted by hand",
    asked="45 + 5, 1,250 + 10, 800 + 20, 16,800 + 6 weights and biases, and every output's size",
    data="none",
)
def convnet(shop: Workshop) -> str:
    graph = shop.load().program.models["ConvNet"].graph
    counts = [
        tuple(weights[f"{layer}.{part}"] for part in ("weight", "bias"))
        for weights in [{path: _size(weight.shape) for path, weight in graph.weights().items()}]
        for layer in ("conv", "conv_2", "conv_3", "linear")
    ]
    sizes = [tuple(map(int, node.outputs[0].type.shape[2:])) for node in graph.nodes if node.outputs[0].type.rank == 4]
    sizes = [size for place, size in enumerate(sizes) if place == 0 or size != sizes[place - 1]]
    due = [(192, 256), (96, 128), (92, 124), (46, 62), (23, 31), (10, 14)]
    reached = f"weights and biases {counts}, images of {' '.join(f'{high}x{wide}' for high, wide in sizes)}"
    return need(counts == [(45, 5), (1250, 10), (800, 20), (16800, 6)] and sizes == due, reached)


@row("vision/digits", what="residual blocks", asked="≥ 0.985 digits", data="digits", small={"width": 8})
def digits(shop: Workshop) -> str:
    accuracy = shop.train().measure("valid")["accuracy"]
    return need(accuracy >= 0.985, f"{accuracy:.3f}")


@row("vision/lenet", what="a small convolutional classifier, augmented", asked="≥ 0.985 digits", data="digits")
def lenet(shop: Workshop) -> str:
    accuracy = shop.train().measure("test")["accuracy"]
    return need(accuracy >= 0.985, f"{accuracy:.3f}")


published("vision/alexnet", "AlexNet", 61_100_840, "the network of 2012", {"width": 8, "hidden": 32, "classes": 10})
published("vision/googlenet", "GoogLeNet", 6_624_904, "four ways side by side", {"classes": 10})
published("vision/resnet18", "ResNet18", 11_689_512, "residual blocks", {"classes": 10})
published(
    "vision/resnet50",
    "ResNet50",
    25_557_032,
    "residual blocks with bottlenecks",
    {"blocks": [1, 1, 1, 1], "classes": 10},
    {44_549_160: {"blocks": [3, 4, 23, 3]}, 60_192_808: {"blocks": [3, 8, 36, 3]}},
)
published(
    "vision/vgg16",
    "VGG",
    138_357_544,
    "convolutions of 3 by 3 and nothing else",
    {"width": 4, "hidden": 32, "classes": 10},
    {143_667_240: {"depths": [2, 2, 4, 4, 4]}},
)
published(
    "vision/densenet121",
    "DenseNet",
    7_978_856,
    "each layer reads all before it",
    {"growth": 8, "depths": [2, 2, 2, 2], "classes": 10},
    {14_149_480: {"depths": [6, 12, 32, 32]}, 20_013_928: {"depths": [6, 12, 48, 32]}},
)
published(
    "vision/mobilenet_v2",
    "MobileNetV2",
    3_504_872,
    "expanded, filtered channel by channel, narrowed",
    {"counts": [1, 1, 1, 1, 1, 1], "classes": 10},
)
published(
    "vision/convnext_tiny",
    "ConvNeXt",
    28_589_128,
    "a convolutional network with what transformers taught",
    {"width": 8, "depths": [1, 1, 2, 1], "classes": 10},
    {50_223_688: {"depths": [3, 3, 27, 3]}, 88_591_464: {"width": 128, "depths": [3, 3, 27, 3]}},
)
published(
    "vision/vit_b16",
    "ViT",
    86_567_656,
    "an image is a sentence of patches",
    {"size": 32, "width": 32, "depth": 2, "heads": 2, "classes": 10},
    {304_326_632: {"width": 1024, "depth": 24, "heads": 16}},
    compared={"depth": 2},
)


@row(
    "vision/unet",
    what="any depth, by recursion; finds a piece of one photograph in another",
    asked="IoU ≥ 0.8",
    data="sample photographs",
    small={"patch": 16, "width": 4, "depth": 1},
)
def unet(shop: Workshop) -> str:
    measured = shop.train().measure("valid")
    return need(measured["iou"] >= 0.8, f"IoU {measured['iou']:.3f}, {measured['accuracy']:.1%} of the pixels")


@row(
    "vision/norms",
    what="batch, layer, instance, group norm side by side",
    asked="the axes each normalises, shown; equations = built in to 1e-5",
    data="digits",
)
def norms(shop: Workshop) -> str:
    import torch

    x = torch.randn(4, 8, 5, 6, generator=torch.Generator().manual_seed(0)) * 3 + 2
    spec = shop.load()
    left, right = (spec.torch(name)(x) for name in ("Equations", "BuiltIn"))
    far = max(float((a - b).abs().max()) for a, b in zip(left, right, strict=True))
    names = ("batch", "layer", "instance", "group")
    shown = {name: _normalised(y) for name, y in zip(names, right, strict=True)}
    shown["group"] = _normalised(right[3].reshape(4, 2, 4, 5, 6))
    told = ", ".join(f"{name} over {axes}" for name, axes in shown.items())
    measured = shop.train().measure("test")
    rates = ", ".join(f"{name} {measured[name]:.3f}" for name in names)
    due = {"batch": (0, 2, 3), "layer": (1, 2, 3), "instance": (2, 3), "group": (2, 3, 4)}
    return need(shown == due and far < 1e-5, f"{told} (of groups); {far:.0e} apart; accuracy {rates}")


def _normalised(y: Tensor) -> tuple[int, ...]:
    """The fewest axes over which all means are 0 and all variances 1."""
    for axes in _subsets(y.ndim):
        mean, variance = y.mean(axes), y.var(axes, correction=0)
        if mean.abs().max() < 1e-4 and (variance - 1).abs().max() < 1e-3:
            return axes
    return ()


def _subsets(count: int) -> Iterator[tuple[int, ...]]:
    for size in range(1, count + 1):
        yield from combinations(range(count), size)


def _size(shape: Any) -> int:
    from dlc.compiler.types import product

    return int(product(shape))
