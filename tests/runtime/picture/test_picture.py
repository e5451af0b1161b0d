import re
import xml.etree.ElementTree as ElementTree
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from dlc.compiler.program import Model
from dlc.runtime.picture.boxes import boxes
from dlc.runtime.picture.draw import draw
from dlc.runtime.picture.layout import HEIGHT, WIDTH, arrange
from dlc.runtime.spec import read_checked

ROOT = Path(__file__).parents[3]
SVG = "{http://www.w3.org/2000/svg}"


def model(path: str, name: str) -> Model:
    return read_checked(ROOT / path).models[name]


RESNET = ("specs/vision/resnet18.dl", "ResNet18")


@pytest.mark.parametrize("spec", [RESNET, ("tests/examples/unet.dl", "Denoiser"), ("specs/sequence/t5.dl", "T5")])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_boxes_lie_apart_below_what_they_read_and_lines_cross_none(spec: tuple[str, str], depth: int) -> None:
    path, name = spec
    models = read_checked(ROOT / path).models
    found = boxes((models.get(name) or next(iter(models.values()))).graph, depth)
    layout = arrange(found)
    corners = [(x - WIDTH / 2, y) for x, y in layout.places]
    assert all(0 <= x <= layout.width - WIDTH and 0 <= y <= layout.height - HEIGHT for x, y in corners)
    for place, (x, y) in enumerate(corners):
        for a, b in corners[place + 1 :]:
            assert abs(x - a) >= WIDTH or abs(y - b) >= HEIGHT
    assert all(
        layout.places[start][1] + HEIGHT < layout.places[end][1] for end, box in enumerate(found) for start in box.reads
    )
    straight = [(x, a, b) for line in layout.lines for (x, a), (z, b) in pairwise(line) if x == z]
    for x, top, bottom in straight:
        assert not any(a < x < a + WIDTH and top < b + HEIGHT / 2 < bottom for a, b in corners)


def test_blocks_are_folded_and_opened() -> None:
    graph = model(*RESNET).graph
    folded, opened = boxes(graph, 1), boxes(graph, 2)
    assert [box.name for box in folded if box.kind == "block"][:2] == ["Basic", "Basic_2: Basic"]
    assert not any(box.kind == "block" for box in opened)
    assert {box.group for box in opened} >= {("Basic",), ("Basic_8",)}
    assert sum(box.name.endswith("add") for box in opened) == 8


def test_svg_shows_each_box_and_line() -> None:
    found = boxes(model(*RESNET).graph, 1)
    root = ElementTree.fromstring(draw(model(*RESNET), ".svg"))
    assert len(root.findall(f"{SVG}g")) == len(found)
    assert len(root.findall(f"{SVG}path")) == sum(len(box.reads) for box in found)


def test_png_is_as_large_as_its_layout() -> None:
    layout = arrange(boxes(model(*RESNET).graph, 1))
    image = Image.open(BytesIO(draw(model(*RESNET), ".png")))
    assert image.size == (round(2 * layout.width), round(2 * layout.height))
    assert len(image.getcolors(1 << 16) or []) > 4


def test_mermaid_closes_what_it_opens() -> None:
    text = draw(model(*RESNET), ".mmd", depth=2).decode()
    assert text.startswith("flowchart TD\n")
    assert len(re.findall(r"^ +subgraph ", text, re.M)) == len(re.findall(r"^ +end$", text, re.M)) == 8
    named = set(re.findall(r"^ +(n\d+)[(\[]", text, re.M))
    assert {end for line in re.findall(r"(n\d+) --> (n\d+)", text) for end in line} <= named
