"""The report of a run shows what the run holds, needs no other file, and is well formed."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from sklearn.metrics import confusion_matrix

from dlc.runtime.cli.group import commands
from dlc.runtime.data.load import load_data
from dlc.runtime.report.confusion import confusion, matrix
from dlc.runtime.report.drawing import drawing
from dlc.runtime.report.pixels import png
from dlc.runtime.train.data import data_folder
from dlc.runtime.train.run import Run

SPEC = """
model Net(image: float[N, 1, 8, 8]) -> (logits: float[N, 10]):
    h = image -> conv(8, 3) -> batch_norm -> relu
    h = h + (h -> conv(8, 3) -> relu)
    return h -> flatten -> dropout(0.2) -> linear(10)

data Digits:
    source = sklearn("digits")
    image: float[1, 8, 8] = images / 16
    label: int[] < 10 = target
    split = (train=0.6, valid=0.4)

# Digits <8 by 8>.
train Fit on Digits:
    net = Net()
    settings:
        batch = 64
        epochs = 3
        optimizer = adam(lr=1e-2)
    step:
        logits = net(image)
        minimize cross_entropy(logits, label)
        report accuracy = accuracy(logits, label)
    attack(image: float[N, 1, 8, 8], label: int[N] < 10):
        return clamp(image + 0.1 * sign(grad(cross_entropy(net(image), label), image)), 0, 1)
    probe(direction: float[8]):
        return sum(direction)
    noise(n = 4):
        return uniform(n, 1, 8, 8)
"""

_VOID = {"meta", "img", "br", "link"}


class Nesting(HTMLParser):
    """Fails where an element is closed that is not open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("report")
    (folder / "digits.dl").write_text(SPEC)
    given = ["train", str(folder / "digits.dl"), "-o", str(folder / "run"), "--device", "cpu", "-q"]
    done = CliRunner().invoke(commands, given)
    assert done.exit_code == 0, done.stderr
    return Run.open(folder / "run")


@pytest.fixture(scope="module")
def text(run: Run) -> str:
    return (run.folder / "report.html").read_text()


def test_it_is_well_formed_and_needs_nothing_else(text: str) -> None:
    parsed = Nesting()
    parsed.feed(text)
    assert parsed.open == []
    assert "script" not in {tag for tag, _ in parsed.seen}
    for _, attributes in parsed.seen:
        for key in ("src", "href"):
            assert (attributes.get(key) or "data:").startswith("data:")
    assert "http" not in text
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(svg)
    assert "prefers-color-scheme: dark" in text


def test_all_sections_are_there(text: str) -> None:
    titles = re.findall(r"<h2>(.*?)</h2>", text)
    assert titles == ["Curves", "Confusion, valid", "Procedures", "net: Net", "Metrics", "Spec"]
    assert re.findall(r"<h3>(.*?)</h3>", text) == ["attack", "probe", "noise", "filters of net.conv"]
    assert "Digits &lt;8 by 8&gt;" in text


def test_numbers_are_those_of_the_run(run: Run, text: str) -> None:
    last = run.metrics()[-1]
    for part in ("train", "valid"):
        for value in last[part].values():
            assert f"<td class=number>{value:.5g}</td>" in text
    assert f"<b>{last['valid']['accuracy']:.4g}</b><span>accuracy, valid, at the end</span>" in text


def test_confusion_is_that_of_scikit_learn(run: Run, text: str) -> None:
    import torch
    from safetensors.torch import load_file

    from dlc.compiler.torch.emit import emit_training
    from dlc.runtime.emitted import load_module

    spec = run.spec
    data = load_data(spec.data, data_folder(spec.data), spec.settings.seed)
    fields = {name: field.numpy() for name, field in data.parts["valid"].items()}
    counts = confusion(run, spec, fields, "cpu")
    assert counts is not None
    net = load_module("Fit", emit_training(spec)).build()["net"].eval()
    net.load_state_dict(load_file(run.folder / "model.safetensors"))
    with torch.no_grad():
        guesses = net(data.parts["valid"]["image"]).argmax(1).numpy()
    due = confusion_matrix(fields["label"], guesses, labels=range(10))
    assert (counts == due).all()
    accuracy = run.metrics()[-1]["valid"]["accuracy"]
    assert counts.trace() / counts.sum() == pytest.approx(accuracy)
    assert f"{counts.trace():,} of {counts.sum():,} are right" in text
    shown = {told[1]: int(told[2]) for told in re.finditer(r"<title>(\d+ taken for \d+): (\d+) times", matrix(counts))}
    assert shown == {f"{a} taken for {b}": int(due[a, b]) for a in range(10) for b in range(10)}


def test_pictures_are_pictures(text: str) -> None:
    images = re.findall(r'<img alt="([^"]*)" src="data:image/png;base64,([^"]*)"', text)
    assert [alt.partition(":")[0] for alt, _ in images] == ["attack", "attack", "noise", "filters of net.conv"]
    for _, data in images:
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            image.load()
            assert image.format == "PNG"
            assert min(image.size) > 60
    assert "needs direction: dlc call" in text


@pytest.mark.parametrize("shape", [(5, 7), (1, 1), (4, 3, 3), (64, 33, 3)])
def test_png_is_what_pillow_reads(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    with Image.open(io.BytesIO(png(pixels))) as image:
        assert (np.asarray(image) == pixels).all()


def test_the_network_is_drawn_with_what_passes_layers(run: Run) -> None:
    module: Any = run.spec.instances["net"]
    svg = ElementTree.fromstring(drawing(module.graph))
    texts = ["".join(element.itertext()) for element in svg.iter("text")]
    names = [text for text in texts if "[" not in text and "learned" not in text]
    expected = ["image", "conv", "batch_norm", "relu", "conv_2: conv", "relu", "flatten", "dropout", "linear", "logits"]
    assert names == expected
    assert [text for text in texts if "learned" in text] == ["80 learned", "16 learned", "584 learned", "5,130 learned"]
    lines = [path.attrib["class"] for path in svg.iter("path") if "flow" in path.attrib.get("class", "")]
    assert lines.count("flow passing") == 1  # the sum that the second convolution is added to
    assert lines.count("flow") == len(expected) - 1


def test_a_training_that_is_no_classification_has_no_confusion(tmp_path: Path) -> None:
    spec = SPEC.replace("minimize cross_entropy(logits, label)", "minimize mean(logits ** 2)")
    spec = spec.replace("        report accuracy = accuracy(logits, label)\n", "")
    (tmp_path / "digits.dl").write_text(spec)
    given = [
        "train",
        str(tmp_path / "digits.dl"),
        "-o",
        str(tmp_path / "run"),
        "--device",
        "cpu",
        "--epochs",
        "1",
        "--json",
    ]
    done = CliRunner().invoke(commands, given)
    assert json.loads(done.stdout)["finished"]
    assert "Confusion" not in (tmp_path / "run/report.html").read_text()
