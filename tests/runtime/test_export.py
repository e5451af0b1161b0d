"""Exports: without PyTorch, byte by byte the same, in little memory, whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner, Result
from safetensors.numpy import save_file

from dlc.compiler.onnx import save
from dlc.compiler.onnx.emit import build_model
from dlc.compiler.onnx.model import Graph, Model, Tensor, Value
from dlc.compiler.onnx.save import save_model
from dlc.compiler.op import Op, operations
from dlc.compiler.types import DType
from dlc.compiler.weights import draw_weights
from dlc.runtime.cli.group import commands
from dlc.runtime.spec import read_spec
from dlc.runtime.train.run import Run
from dlc.runtime.weights import open_weights

SPEC = """\
data Points:
    source = generate(20)
    x: float[8] = normal(8)
    split = (train=0.5, valid=0.5)

block Wide(x: float[N, d], out: int) -> float[N, out]:
    return tanh(x -> linear(out))

model Net(x: float[N, 8], width = 300) -> (y: float[N, 8]):
    h = x -> Wide(width)
    h = relu(h)
    return h -> linear(8)

train Fit on Points:
    net = Net()
    settings:
        batch = 5
        epochs = 1
    step:
        minimize mse(net(x), x)
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with weights that no training has touched, in the folder where commands are called."""
    monkeypatch.chdir(tmp_path)
    return fresh(tmp_path, SPEC)


def fresh(folder: Path, text: str) -> Path:
    """A run of such a spec, with weights that no training has touched."""
    (folder / "spec.dl").write_text(text)
    program, sink = read_spec(folder / "spec.dl")
    assert program is not None, [diagnostic.message for diagnostic in sink]
    made = Run.create(folder / "run", program, program.trains["Fit"])
    save_file(draw_weights(program.models["Net"].graph.weights(), 0), made.folder / "model.safetensors")
    return made.folder


def dlc(*arguments: str) -> Result:
    result = CliRunner().invoke(commands, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def told(path: Path) -> Any:
    metadata = {entry.key: entry.value for entry in onnx.load(path, load_external_data=False).metadata_props}
    return json.loads(metadata["dlc.verified"])


def test_without_a_comparison_nothing_heavy_is_imported(run: Path) -> None:
    code = (
        "import sys\nfrom dlc.runtime.cli.group import commands\n"
        "commands(['export', 'run', '-o', 'net.onnx', '--no-verify'], standalone_mode=False)\n"
        "heavy = {'torch', 'onnx', 'onnx_ir', 'onnxruntime', 'safetensors', 'sympy', 'networkx', 'rich', 'sklearn'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=run.parent)
    onnx.checker.check_model(onnx.load(run.parent / "net.onnx"), full_check=True)
    assert told(run.parent / "net.onnx") is False


def test_an_opset_that_is_older_can_be_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fresh(tmp_path, SPEC.replace("h = relu(h)", "h = h -> rms_norm"))
    for opset in (21, 23):
        result = dlc("export", "run", "-o", f"{opset}.onnx", "--opset", str(opset))
        assert result.exit_code == 0, result.stderr
        assert [entry.version for entry in onnx.load(f"{opset}.onnx").opset_import] == [opset]
        assert told(Path(f"{opset}.onnx"))["sizes"]
    assert dlc("export", "run", "-o", "net.onnx", "--opset", "20").exit_code == 2


def test_a_file_says_how_it_was_compared(run: Path) -> None:
    result = dlc("export", "run", "-o", "net.onnx")
    assert result.exit_code == 0, result.stderr
    assert told(Path("net.onnx")) == {
        "tolerance": 1e-4,
        "sizes": ["N=1", "N=2", "N=7", "N=33", "N=128"],
        "same_noise": False,
    }
    lines = result.stdout.splitlines()
    assert lines[1] == "gives what PyTorch gives, at 5 sizes, from N=1 to N=128"
    assert lines[2].split() == ["output", "largest", "difference", "of", "the", "largest", "value", "at"]
    assert lines[3].split()[0] == "y"
    assert float(lines[3].split()[2]) < 1e-5


def test_exports_of_one_run_are_the_same_byte_for_byte(run: Path) -> None:
    (run.parent / "again").mkdir()
    for seed, place in (("1", "net.onnx"), ("2", "again/net.onnx")):
        command = [sys.executable, "-m", "dlc", "export", "run", "-o", place, "--no-verify"]
        env = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run(command, check=True, capture_output=True, cwd=run.parent, env=env)
    assert Path("net.onnx").read_bytes() == Path("again/net.onnx").read_bytes()


def test_an_export_does_not_tell_where_the_run_lay(run: Path) -> None:
    assert dlc("export", "run", "-o", "net.onnx").exit_code == 0
    run.rename(run.with_name("moved"))
    assert dlc("export", str(run.with_name("moved")), "-o", "again.onnx").exit_code == 0
    assert Path("net.onnx").read_bytes() == Path("again.onnx").read_bytes()


def test_blocks_become_functions_where_they_are_asked_for(run: Path) -> None:
    result = dlc("export", "run", "-o", "net.onnx", "--functions")
    assert result.exit_code == 0, result.stderr
    assert [function.name for function in onnx.load("net.onnx").functions] == ["Wide"]
    assert dlc("run", "net.onnx", "--in", "x=[[1,2,3,4,5,6,7,8]]").exit_code == 0


def test_a_fault_of_the_compiler_is_found_and_nothing_is_written(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One operator's lowering is broken: the line of the spec that uses it is told."""

    def lower(self: Op, g: Any, x: Any) -> Any:
        return g.op("LeakyRelu", x, alpha=0.05)

    monkeypatch.setattr(operations()["relu"], "onnx", lower)
    Path("net.onnx").write_text("an export from before")
    result = dlc("export", "run", "-o", "net.onnx")
    assert result.exit_code == 1
    assert "DL7004" in result.stderr
    line = SPEC.splitlines().index("    h = relu(h)") + 1
    assert f"spec.dl:{line}:9" in result.stderr
    assert "the first that differs: `relu`" in result.stderr
    assert sorted(path.name for path in run.parent.iterdir()) == ["net.onnx", "run", "spec.dl"]
    assert Path("net.onnx").read_text() == "an export from before"


@pytest.mark.parametrize("large", [False, True])
def test_a_full_disk_leaves_what_was_there(run: Path, large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if large:
        monkeypatch.setattr(save, "_MAX_FILE", 1000)
    assert dlc("export", "run", "-o", "net.onnx", "--no-verify").exit_code == 0
    before = {path.name: path.read_bytes() for path in run.parent.glob("net*")}
    assert len(before) == 1 + large

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    result = dlc("export", "run", "-o", "net.onnx", "--no-verify")
    assert result.exit_code == 1
    assert "net.onnx cannot be written: no space left on device" in result.stderr
    assert {path.name: path.read_bytes() for path in run.parent.iterdir() if path.is_file()} == {
        **before,
        "spec.dl": SPEC.encode(),
    }
    assert sorted(path.name for path in run.parent.iterdir()) == sorted([*before, "run", "spec.dl"])


def test_where_the_model_cannot_take_its_place_its_weights_do_not_either(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(save, "_MAX_FILE", 1000)
    assert dlc("export", "run", "-o", "net.onnx", "--no-verify").exit_code == 0
    before = {path.name: path.read_bytes() for path in run.parent.glob("net*")}
    arrays = {path: array + 1 for path, array in open_weights(run / "model.safetensors").items()}
    save_file(arrays, run / "model.safetensors")
    replace = os.replace

    def refuse(source: Path, target: Path) -> None:
        if Path(target).name == "net.onnx":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    result = dlc("export", "run", "-o", "net.onnx", "--no-verify")
    assert result.exit_code == 1
    assert "net.onnx cannot be written: permission denied" in result.stderr
    assert {path.name: path.read_bytes() for path in run.parent.glob("net*")} == before
    assert not list(run.parent.glob(".net*"))


def test_a_folder_that_is_not_there_is_one_error(run: Path) -> None:
    result = dlc("export", "run", "-o", "nowhere/net.onnx", "--no-verify")
    assert result.exit_code == 1
    assert "nowhere/net.onnx cannot be written: no such file or directory" in result.stderr


def test_large_weights_lie_beside_the_model(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = open_weights(run / "model.safetensors")
    x = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)
    assert dlc("export", "run", "-o", "small.onnx").exit_code == 0
    monkeypatch.setattr(save, "_MAX_FILE", 1000)
    result = dlc("export", "run", "-o", "large.onnx")
    assert result.exit_code == 0, result.stderr
    onnx.checker.check_model("large.onnx", full_check=True)
    stored = onnx.load("large.onnx", load_external_data=False).graph.initializer
    for tensor in stored:
        where = {entry.key: entry.value for entry in tensor.external_data}
        small = int(np.prod(tensor.dims)) * 4 < 1024
        assert (where == {}) == small
        assert small or (where["location"], int(where["offset"]) % 4096) == ("large.onnx.data", 0)
    for tensor in onnx.load("large.onnx").graph.initializer:
        if tensor.name in weights:
            np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), weights[tensor.name])
    small, large = (
        onnxruntime.InferenceSession(name, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
        for name in ("small.onnx", "large.onnx")
    )
    np.testing.assert_array_equal(small, large)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read from Linux's own records")
@pytest.mark.parametrize("limit", [2**31 - 1, 2**20])
def test_weights_go_from_file_to_file_in_little_memory(tmp_path: Path, limit: int) -> None:
    """In both forms the peak lies less than 1.3 times the largest tensor above the start; in truth far below."""
    arrays = {f"w{place}": np.full((4096, 1024), place, np.float32) for place in range(8)}
    save_file(arrays, tmp_path / "w.safetensors")
    code = f"""
from pathlib import Path
from dlc.compiler.onnx import save
from dlc.compiler.onnx.model import Graph, Model, Tensor, Value
from dlc.runtime.weights import open_weights
import numpy
def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
save._MAX_FILE = {limit}
weights = open_weights(Path("w.safetensors"))
Path("/proc/self/clear_refs").write_text("5")
start = status("VmRSS")
values = [
    Value(path, tensor=Tensor(entry.dtype, entry.shape, lambda: weights[path], entry.source))
    for path, entry in weights.entries.items()
]
save.save_model(Model(Graph("m", (), (), [], values), 10, {{"": 21}}), Path("m.onnx"))
print(status("VmHWM") - start)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert int(done.stdout) < 1.3 * arrays["w0"].nbytes
    for tensor in onnx.load(tmp_path / "m.onnx").graph.initializer:
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), arrays[tensor.name])


def test_weights_that_became_shorter_are_told(tmp_path: Path) -> None:
    save_file({"w": np.zeros(5000, np.float32)}, tmp_path / "w.safetensors")
    weights = open_weights(tmp_path / "w.safetensors")
    os.truncate(tmp_path / "w.safetensors", 100)
    tensor = Tensor(DType.FLOAT, (5000,), lambda: weights["w"], weights.source("w"))
    model = Model(Graph("m", (), (), [], [Value("w", tensor=tensor)]), 10, {"": 21})
    with pytest.raises(OSError, match="has become shorter"):
        save_model(model, tmp_path / "m.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_weights_of_a_run_are_not_loaded_while_a_model_is_built(run: Path) -> None:
    trained = open_weights(run / "model.safetensors")
    model = read_spec(run / "spec.dl")[0]
    assert model is not None
    built = build_model(model.models["Net"].graph, trained)
    sources = {value.name: value.tensor and value.tensor.source for value in built.graph.initializers}
    assert {name for name, source in sources.items() if source is not None} == set(trained)
