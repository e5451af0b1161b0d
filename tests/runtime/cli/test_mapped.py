"""A model of torch.nn through a mapping file: the command writes what torch.nn computes, for both targets."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from safetensors.torch import load_file, save_file
from torch import nn

from dlc.runtime.emitted import load_module
from dlc.runtime.infer.session import Session

SPEC = """\
from std.transformer import EncoderLayer

model Reader(x: float[N, T, 16], seen: bool[N, T], depth = 2) -> (y: float[N, T, 16]):
    layers = [EncoderLayer(4, hidden=24, drop=0.1, pre_norm=false) for i in range(depth)]
    for layer in layers:
        x = layer(x, mask=seen[:, none, none])
    return x
"""
MAP = """\
# nn.TransformerEncoder keeps queries, keys and values as one.
layers.{i}.self_attn.in_proj_weight -> split(axis=0) -> layers.{i}.attend.{query,key,value}.weight
layers.{i}.self_attn.in_proj_bias   -> split(axis=0) -> layers.{i}.attend.{query,key,value}.bias
layers.{i}.self_attn.out_proj.{p}   -> layers.{i}.attend.out.{p}
layers.{i}.{linear1,linear2}.weight -> layers.{i}.feed.{linear,linear_2}.weight
layers.{i}.{linear1,linear2}.bias   -> layers.{i}.feed.{linear,linear_2}.bias
layers.{i}.{norm1,norm2}.weight     -> layers.{i}.{layer_norm,layer_norm_2}.weight
layers.{i}.{norm1,norm2}.bias       -> layers.{i}.{layer_norm,layer_norm_2}.bias
"""


def encoder() -> nn.TransformerEncoder:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 4, 24, 0.1, "gelu", batch_first=True)
    made = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return made


def test_an_encoder_of_torch(dlc: Callable[..., Result], tmp_path: Path) -> None:
    theirs = encoder()
    save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    (tmp_path / "reader.dl").write_text(SPEC)
    (tmp_path / "torch.map").write_text(MAP)
    given = ("--weights", "theirs.safetensors", "--map", "torch.map")
    result = dlc("compile", "reader.dl", "--to", "onnx", "-o", "reader.onnx", *given)
    assert result.exit_code == 0, result.output
    assert "theirs.safetensors: 24 tensors give 32 weights\nreader.onnx: gives what PyTorch gives, at" in result.stdout
    assert dlc("compile", "reader.dl", "--to", "torch", "-o", "reader.py", *given).exit_code == 0

    x = torch.randn(3, 5, 16)
    seen = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 1, 0, 1]]).bool()
    expected = theirs(x, src_key_padding_mask=~seen)
    made = load_module("reader", (tmp_path / "reader.py").read_text()).Reader()
    made.load_state_dict(load_file(tmp_path / "reader.safetensors"))
    torch.testing.assert_close(made.eval()(x, seen), expected, atol=1e-5, rtol=0)
    exported = Session(tmp_path / "reader.onnx").run(x=x.numpy(), seen=seen.numpy())["y"]
    np.testing.assert_allclose(exported, expected.detach(), atol=1e-5, rtol=0)


USAGE = [
    (("--to", "onnx", "-o", "m.onnx", "--map", "m.map"), "--map tells what a .safetensors file calls the weights"),
    (("--to", "onnx", "-o", "m.onnx", "--map", "m.map", "--weights", "."), "name that by --weights"),
    (("--to", "graph", "--weights", "w.safetensors"), "holds no weights"),
    (("--to", "torch", "--weights", "w.safetensors"), "name its file with -o"),
    (("--to", "torch", "--weights", "w.safetensors", "-o", "w.py"), "w.safetensors would be written over"),
    (("--to", "torch", "--weights", "x.safetensors", "-o", "w.safetensors"), "as in -o net.py"),
    (("--to", "torch", "--no-verify"), "--verify and --no-verify go with --to onnx"),
]


@pytest.mark.parametrize(("options", "told"), USAGE)
def test_options_that_do_not_go_together(
    dlc: Callable[..., Result], narrow: str, options: tuple[str, ...], told: str
) -> None:
    result = dlc("compile", narrow, *options)
    assert (result.exit_code, told in " ".join(result.stderr.split())) == (2, True), result.stderr


def test_fresh_weights_can_be_compared_too(dlc: Callable[..., Result], narrow: str) -> None:
    assert (
        "m.onnx: gives what PyTorch gives" in dlc("compile", narrow, "--to", "onnx", "-o", "m.onnx", "--verify").stdout
    )
    assert dlc("compile", narrow, "--to", "onnx", "-o", "n.onnx").stdout == ""


def test_what_is_left_out_is_told(dlc: Callable[..., Result], narrow: str, tmp_path: Path) -> None:
    save_file({"w": torch.ones(16, 8), "again": torch.ones(16, 8), "mask": torch.ones(2)}, tmp_path / "w.safetensors")
    lines = "w -> linear.weight\nagain == linear.weight\nignore mask\ninitial Half.{p...}\n"
    (tmp_path / "w.map").write_text(f"{lines}initial {{Half_2.linear,linear}}.bias\ninitial Half_2.linear.weight\n")
    result = dlc("compile", narrow, "--to", "onnx-text", "--weights", "w.safetensors", "--map", "w.map")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("ir_version")
    assert result.stderr == (
        "w.safetensors: 1 tensors give 1 weights\n"
        "  equal to what a weight is given: again\n"
        "  ignored: mask\n"
        "  weights that start as the spec says: Half.linear.weight, Half.linear.bias, Half_2.linear.bias, linear.bias,"
        " Half_2.linear.weight\n"
    )


def test_nothing_is_written_where_the_mapping_is_wrong(dlc: Callable[..., Result], narrow: str, tmp_path: Path) -> None:
    save_file({"w": torch.ones(16, 8)}, tmp_path / "w.safetensors")
    (tmp_path / "w.map").write_text("w -> linear.weight\n")
    for stage, output in (("onnx", "m.onnx"), ("torch", "m.py")):
        result = dlc("compile", narrow, "--to", stage, "-o", output, "--weights", "w.safetensors", "--map", "w.map")
        assert (result.exit_code, "error[DL8209]" in result.stderr) == (1, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["narrow.dl", "w.map", "w.safetensors"]
