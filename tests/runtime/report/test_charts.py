"""Curves stand where their values say."""

import itertools
import math
import re
from xml.etree import ElementTree

import pytest

from dlc.runtime.report.charts import HEIGHT, WIDTH, curves
from dlc.runtime.report.page import alone


def drawn(*values: float, **series: list[float]) -> ElementTree.Element:
    lines = {"train": list(values)} if values else series
    points = {name: [(place + 1.0, value) for place, value in enumerate(line)] for name, line in lines.items()}
    return ElementTree.fromstring(curves("loss", points, over="epoch", marked=2))


def points(svg: ElementTree.Element) -> list[list[tuple[float, float]]]:
    found = [line.attrib["points"] for line in svg.iter("polyline")]
    return [[(float(x), float(y)) for x, y in (point.split(",") for point in line.split())] for line in found]


def ticks(svg: ElementTree.Element) -> dict[float, float]:
    """The height of each number beside the y axis."""
    return {
        float(text.text or "nan"): float(text.attrib["y"]) - 3.5
        for text in svg.iter("text")
        if text.attrib.get("text-anchor") == "end"
    }


@pytest.mark.parametrize(
    "values", [(1.0, 0.5, 0.25), (0.1, 0.93, 0.99), (-3.0, 5.0), (1e-9, 2e-9), (3.0, 3.0), (0.0, 0.0)]
)
def test_points_stand_between_the_numbers_beside_them(values: tuple[float, ...]) -> None:
    svg = drawn(*values)
    (line,) = points(svg)
    (low, at_low), *_, (high, at_high) = sorted(ticks(svg).items())
    assert low <= min(values) <= max(values) <= high
    for (_, y), value in zip(line, values, strict=True):
        due = at_low + (value - low) / (high - low) * (at_high - at_low)
        assert y == pytest.approx(due, abs=0.2)
    assert [x for x, _ in line] == sorted(x for x, _ in line)


def test_values_of_very_different_size_stand_on_a_logarithmic_axis() -> None:
    svg = drawn(1000.0, 10.0, 0.1)
    (line,) = points(svg)
    heights = [y for _, y in line]
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], abs=0.2)
    assert "log scale" in "".join(svg.itertext())


def test_what_is_not_finite_is_a_gap() -> None:
    svg = drawn(3.0, 2.0, math.nan, 1.0, 0.5, math.inf)
    assert [len(line) for line in points(svg)] == [2, 2]
    assert "train 0.5" in "".join(svg.itertext())
    assert curves("loss", {"train": [(1, math.nan)]}, over="epoch") == ""
    assert curves("loss", {}, over="epoch") == ""


def test_names_do_not_stand_on_each_other_and_all_is_within() -> None:
    svg = drawn(train=[1.0, 0.5], valid=[1.0, 0.5], test=[1.0, 0.5001])
    names = [text for text in svg.iter("text") if re.match(r"(train|valid|test) ", text.text or "")]
    heights = sorted(float(text.attrib["y"]) for text in names)
    assert len(heights) == 3
    assert all(below - above >= 12 for above, below in itertools.pairwise(heights))
    for element in svg.iter():
        for key, most in {"x": WIDTH, "x1": WIDTH, "x2": WIDTH, "y": HEIGHT, "y1": HEIGHT, "y2": HEIGHT}.items():
            assert 0 <= float(element.attrib.get(key, 0)) <= most


def test_names_are_text_not_markup() -> None:
    text = curves("<b>", {"a & b": [(1, 2.0), (2, 3.0)]}, over="epoch")
    assert "<b>" not in text
    assert ElementTree.fromstring(text).tag == "svg"


def test_one_epoch_is_a_dot() -> None:
    svg = drawn(0.5)
    assert points(svg) == []
    assert len(list(svg.iter("circle"))) == 1


def test_equal_factors_are_equal_distances() -> None:
    svg = curves("error", {"test": [(10, 1), (20, 2), (40, 3)]}, over="width", log=True)
    places = [float(place) for place in re.findall(r'<circle cx="([\d.]+)"', svg)]
    assert places[1] - places[0] == pytest.approx(places[2] - places[1], abs=0.2)
    assert re.findall(r'text-anchor="middle">([\d,]+)<', svg) == ["10", "20", "40"]


def test_a_drawing_alone_is_a_file_of_its_own() -> None:
    root = ElementTree.fromstring(alone(curves("error", {"a & b": [(1, 1), (2, 2)]}, over="epoch")))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "a & b 2" in [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
