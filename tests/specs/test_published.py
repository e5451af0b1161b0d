"""Models whose published sizes the specs must have."""

from pathlib import Path

import pytest
import torch
from torch import nn

import dlc
from dlc.compiler.dim import Dim
from dlc.compiler.graph import Graph
from dlc.compiler.types import product
from dlc.runtime.spec import read_checked

SPECS = Path(__file__).parents[2] / "specs"


def graph(spec: str, name: str, **overrides: object) -> Graph:
    program = read_checked(SPECS / f"{spec}.dl", {key: str(value) for key, value in overrides.items()})
    return program.models[name].graph


def count(graph: Graph) -> int:
    """How many numbers are learned."""
    return sum(int(product(weight.shape)) for weight in graph.weights().values() if weight.trainable)


@pytest.mark.parametrize(
    ("spec", "name", "overrides", "expected"),
    [
        ("vision/resnet18", "ResNet18", {}, 11_689_512),
        ("vision/resnet50", "ResNet50", {}, 25_557_032),
        ("vision/resnet50", "ResNet50", {"blocks": [3, 4, 23, 3]}, 44_549_160),
        ("vision/resnet50", "ResNet50", {"blocks": [3, 8, 36, 3]}, 60_192_808),
        ("vision/alexnet", "AlexNet", {}, 61_100_840),
        ("vision/googlenet", "GoogLeNet", {}, 6_624_904),
        ("vision/vgg16", "VGG", {}, 138_357_544),
        ("vision/vgg16", "VGG", {"depths": [2, 2, 4, 4, 4]}, 143_667_240),
        ("vision/densenet121", "DenseNet", {}, 7_978_856),
        ("vision/densenet121", "DenseNet", {"depths": [6, 12, 32, 32]}, 14_149_480),
        ("vision/densenet121", "DenseNet", {"depths": [6, 12, 48, 32]}, 20_013_928),
        ("vision/mobilenet_v2", "MobileNetV2", {}, 3_504_872),
        ("vision/convnext_tiny", "ConvNeXt", {}, 28_589_128),
        ("vision/convnext_tiny", "ConvNeXt", {"depths": [3, 3, 27, 3]}, 50_223_688),
        ("vision/convnext_tiny", "ConvNeXt", {"width": 128, "depths": [3, 3, 27, 3]}, 88_591_464),
        ("vision/vit_b16", "ViT", {}, 86_567_656),
        ("vision/vit_b16", "ViT", {"width": 1024, "depth": 24, "heads": 16}, 304_326_632),
        ("sequence/gpt2", "GPT2", {}, 124_439_808),
        ("sequence/gpt2", "GPT2", {"width": 1024, "depth": 24, "heads": 16}, 354_823_168),
        ("sequence/gpt2", "GPT2", {"width": 1280, "depth": 36, "heads": 20}, 774_030_080),
        ("sequence/gpt2", "GPT2", {"width": 1600, "depth": 48, "heads": 25}, 1_557_611_200),
        ("sequence/bert", "BERT", {}, 109_482_240),
        ("sequence/bert", "BERT", {"width": 1024, "depth": 24, "heads": 16}, 335_141_888),
        ("sequence/t5", "T5", {}, 60_506_624),
    ],
)
def test_published_counts(spec: str, name: str, overrides: dict[str, object], expected: int) -> None:
    assert count(graph(spec, name, **overrides)) == expected


class Basic(nn.Module):
    """As torchvision writes it."""

    def __init__(self, inner: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inner != out:
            self.downsample = nn.Sequential(nn.Conv2d(inner, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(h)) + self.downsample(x))


def resnet18(classes: int) -> nn.Sequential:
    stages: list[nn.Module] = []
    inner = 64
    for out, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        stages += [Basic(inner, out, stride), Basic(out, out, 1)]
        inner = out
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes))


def test_resnet18_has_the_weights_of_torchs() -> None:
    ours = graph("vision/resnet18", "ResNet18", classes=10).weights()
    theirs = resnet18(10).state_dict()
    learned = sorted(tuple(map(int, weight.shape)) for weight in ours.values())
    assert learned == sorted(tuple(value.shape) for value in theirs.values())


@pytest.mark.parametrize("size", [32, 33, 64, 224])
def test_resnet18_makes_images_as_small_as_torchs(size: int) -> None:
    ours = graph("vision/resnet18", "ResNet18", H=size, W=size)
    feature = next(node.outputs[0].type for node in reversed(ours.nodes) if node.outputs[0].type.rank == 4)
    with torch.device("meta"):
        theirs = resnet18(10)[:-3](torch.empty(2, 3, size, size))
    assert feature.shape[1:] == tuple(map(Dim.of, theirs.shape[1:]))


def test_gpt2_ties_its_output_to_its_embedding() -> None:
    weights = graph("sequence/gpt2", "GPT2").weights()
    assert [path for path, weight in weights.items() if 50257 in map(int, weight.shape)] == ["embed.weight"]


def test_the_network_counted_by_hand_as_show_counts_it() -> None:
    rows = [line.split("  ") for line in str(dlc.load(SPECS / "vision" / "convnet.dl")).splitlines()]
    told = {
        cells[0]: [cell.strip() for cell in cells if cell.strip()][2:5] for cells in rows if "float[N" in str(cells)
    }
    assert told["conv"] == ["float[N, 5, 192, 256]", "45", "5"]
    assert told["max_pool"][:1] == ["float[N, 5, 96, 128]"]
    assert told["conv_2"] == ["float[N, 10, 92, 124]", "1,250", "10"]
    assert told["max_pool_2"][:1] == ["float[N, 10, 46, 62]"]
    assert told["conv_3"] == ["float[N, 20, 23, 31]", "800", "20"]
    assert told["max_pool_3"][:1] == ["float[N, 20, 10, 14]"]
    assert told["linear"] == ["float[N, 6]", "16,800", "6"]
