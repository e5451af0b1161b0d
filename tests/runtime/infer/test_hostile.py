"""Models that mean harm: each ends in one error, within limits, and this process lives."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dlc.grammar.diagnostics import Diagnostic, Refusal
from dlc.runtime.infer import errors
from dlc.runtime.infer.isolated import Limits
from dlc.runtime.infer.session import Session

LARGE = 2**40


def model(
    *nodes: onnx.NodeProto,
    stored: tuple[onnx.TensorProto, ...] = (),
    shape: tuple[int | str, ...] = ("N",),
    result: int = TensorProto.FLOAT,
    opset: int = 21,
    ir_version: int = 10,
    domains: tuple[str, ...] = (),
    ours: bool = False,
) -> onnx.ModelProto:
    """A model from x: float[shape] to y, as anybody could write it; `ours` with the metadata of dlc's own."""
    graph = helper.make_graph(
        nodes,
        "hostile",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", result, None)],
        stored,
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)
    return claiming_to_be_ours(made) if ours else made


def claiming_to_be_ours(made: onnx.ModelProto) -> onnx.ModelProto:
    made.producer_name = "dlc"
    helper.set_model_props(made, {"dlc.spec": "M", "dlc.source": "m.dl", "dlc.ranges": "{}", "dlc.checks": "[]"})
    return made


def ints(name: str, values: Any) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def claim(name: str, *dims: int, type: int = TensorProto.FLOAT) -> onnx.TensorProto:
    """A tensor of any size, without any bytes."""
    tensor = TensorProto(name=name, data_type=type)
    tensor.dims.extend(dims)
    return tensor


def node(kind: str, inputs: str, output: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), [output], **attributes)


def _block_of_weights() -> tuple[onnx.TensorProto, ...]:
    return (
        numpy_helper.from_array(np.ones((4, 2, 16), np.uint8), "b"),
        numpy_helper.from_array(np.ones(8, np.float32), "s"),
    )


def _message(number: int, *parts: bytes) -> bytes:
    """A field of protobuf that holds bytes."""
    data = b"".join(parts)
    size, length = len(data), b""
    while size >= 0x80:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data


def _endless_loop() -> onnx.ModelProto:
    body = helper.make_graph(
        [node("Identity", "go", "on"), node("Sin", "before", "after")],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, None),
        ],
    )
    always = numpy_helper.from_array(np.array(True), "always")
    loop = helper.make_node("Loop", ["turns", "always", "x"], ["y"], body=body)
    return model(loop, stored=(ints("turns", 2**62), always))


def _in_a_function() -> onnx.ModelProto:
    made = model(helper.make_node("F", ["x"], ["y"], domain="own"), domains=("own",))
    constant = helper.make_node("Constant", [], ["c"], value=claim("c", LARGE))
    imports = [helper.make_opsetid("", 21)]
    made.functions.append(helper.make_function("own", "F", ["x"], ["c"], [constant], imports))
    return made


# Each with the codes, any of which it may end in, by itself or when it claims to be ours.
OPENED: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "a constant of 2**40 elements": (
        lambda: model(helper.make_node("Constant", [], ["y"], value=claim("c", LARGE))),
        "DL8101",
    ),
    "a weight of 2**40 elements": (lambda: model(node("Identity", "c"), stored=(claim("c", LARGE),)), "DL8101"),
    "sizes whose product is beyond 64 bits": (
        lambda: model(node("Identity", "c"), stored=(claim("c", LARGE, LARGE, LARGE),)),
        "DL8101",
    ),
    "a negative size": (lambda: model(node("Identity", "c"), stored=(claim("c", -1, -4),)), "DL8101"),
    "an element type that there is not": (
        lambda: model(node("Identity", "c"), stored=(claim("c", 0, type=77),)),
        "DL8101",
    ),
    "a claim within a function": (_in_a_function, "DL8101"),
    "a negative shape": (lambda: model(node("ConstantOfShape", "s"), stored=(ints("s", [-5]),)), "DL8101"),
    "a block of 2**32": (
        lambda: model(node("DepthToSpace", "x", blocksize=2**32), shape=(1, 4, 2, 2)),
        "DL8112",
    ),
    "weights in blocks of 2**32": (
        lambda: model(
            node("MatMulNBits", "x b s", domain="com.microsoft", K=64, N=4, bits=4, block_size=2**32),
            stored=_block_of_weights(),
            shape=("N", 64),
            domains=("com.microsoft",),
        ),
        "DL8101",
    ),
    "a division by zero": (
        lambda: model(node("Div", "a b"), stored=(ints("a", [1]), ints("b", [0])), result=TensorProto.INT64),
        "DL8101",
    ),
    "a division that the processor refuses": (
        lambda: model(node("Div", "a b"), stored=(ints("a", [-(2**63)]), ints("b", [-1])), result=TensorProto.INT64),
        "DL8112",
    ),
    "opset 999": (lambda: model(node("Relu", "x"), opset=999), "DL8102"),
    "opset -1": (lambda: model(node("Relu", "x"), opset=-1), "DL8101"),
    "a format of the future": (lambda: model(node("Relu", "x"), ir_version=999), "DL8102"),
    "an operator of somebody's own": (lambda: model(node("Evil", "x", domain="evil"), domains=("evil",)), "DL8102"),
    "an operator that there is not": (lambda: model(node("Reluu", "x")), "DL8102"),
    "a circle": (lambda: model(node("Relu", "y", "z"), node("Relu", "z")), "DL8101"),
}

CALLED: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "2**40 zeros": (lambda: model(node("ConstantOfShape", "s"), stored=(ints("s", [LARGE]),)), "DL8111"),
    "2**34 zeros": (lambda: model(node("ConstantOfShape", "s"), stored=(ints("s", [2**34]),)), "DL8111"),
    "numbers up to 2**40": (
        lambda: model(
            node("Range", "a b c"),
            stored=(ints("a", 0), ints("b", LARGE), ints("c", 1)),
            result=TensorProto.INT64,
        ),
        "DL8111",
    ),
    "an input of 2**33 copies": (lambda: model(node("Expand", "x s"), stored=(ints("s", [2**33, 1]),)), "DL8111"),
    "an endless loop": (_endless_loop, "DL8111"),
    "steps of nothing": (
        lambda: model(
            node("Range", "a b c"), stored=(ints("a", 0), ints("b", 9), ints("c", 0)), result=TensorProto.INT64
        ),
        "DL8110",
    ),
}


def write(made: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(made.SerializeToString())
    return path


SHORT = Limits(opening=20.0, seconds=1.0)
_MOST_SECONDS = 15.0  # a tenth of it where nothing else runs
_MOST_GROWTH = 100 * 2**20


def refused(path: Path) -> Diagnostic:
    """What opening and calling a model says; it takes little time, and little memory of this process."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, time.monotonic()
    with pytest.raises(Refusal) as caught, Session(path, limits=SHORT) as session:
        session.call(
            {port.name: np.ones([size.constant or 2 for size in port.shape], np.float32) for port in session.inputs}
        )
    assert time.monotonic() - start < _MOST_SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before < _MOST_GROWTH
    (only,) = caught.value.diagnostics
    assert only.message
    return only


@pytest.mark.parametrize("ours", [False, True], ids=["foreign", "ours"])
@pytest.mark.parametrize("case", [*OPENED, *CALLED])
def test_a_hostile_model_ends_in_one_error(case: str, ours: bool, tmp_path: Path) -> None:
    make, code = (OPENED | CALLED)[case]
    made = make()
    assert refused(write(claiming_to_be_ours(made) if ours else made, tmp_path)).code == code


def test_a_model_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    whole = model(node("Relu", "x")).SerializeToString()
    path = tmp_path / "model.onnx"
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert type(refused(path)) is errors.UnreadableModel


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    for path in (tmp_path / "pipe.onnx", tmp_path, Path("/dev/zero"), tmp_path / "missing.onnx"):
        assert type(refused(path)) is errors.UnreadableModel


def test_many_small_parts_are_bounded(tmp_path: Path) -> None:
    """Empty nodes, two bytes each, which a parser would make objects of."""
    path = tmp_path / "model.onnx"
    path.write_bytes(_message(7, b"\x0a\x00" * 2**23))
    assert type(refused(path)) is errors.UnreadableModel


def test_graphs_in_graphs_are_bounded(tmp_path: Path) -> None:
    graph = b""
    for _ in range(5000):
        graph = _message(1, _message(5, _message(6, graph)))
    path = tmp_path / "model.onnx"
    path.write_bytes(_message(7, graph))
    found = refused(path)
    assert type(found) is errors.UnreadableModel
    assert "deep" in found.notes[0]


def test_a_second_value_of_an_attribute_is_no_way_around(tmp_path: Path) -> None:
    """Protobuf merges two values of one field, so that neither tells what a parser makes of them."""
    small, large = claim("c", 0).SerializeToString(), claim("c", LARGE).SerializeToString()
    kind, result = _message(4, b"Constant"), _message(2, b"y")
    path = tmp_path / "model.onnx"
    path.write_bytes(_message(7, _message(1, kind, result, _message(5, _message(5, small), _message(5, large)))))
    found = refused(path)
    assert type(found) is errors.UnreadableModel
    assert "two values" in found.notes[0]


def test_sizes_that_are_programs_take_no_time(tmp_path: Path) -> None:
    """What a model of ours says of its sizes is read by this process."""
    for text in ("(a+b+c+d+e+f+g+h)**99", "+".join(f"max(a{k},b)" for k in range(900)), "9**9**9**9", "(" * 3000 + "a"):
        made = model(node("Relu", "x"), shape=(text,), ours=True)
        assert type(refused(write(made, tmp_path))) is errors.UnreadableModel


def test_a_session_outlives_what_onnxruntime_refuses_but_not_its_process(tmp_path: Path) -> None:
    divide = model(node("Cast", "x", "n", to=7), node("Div", "n n"), result=onnx.TensorProto.INT64)
    session = Session(write(divide, tmp_path))
    with pytest.raises(Refusal) as caught:
        session.run(x=np.zeros(1, np.float32))
    assert [type(each) for each in caught.value.diagnostics] == [errors.RunFailed]
    np.testing.assert_array_equal(session.run(x=np.full(1, 3, np.float32))["y"], [1])
    session.close()
    with pytest.raises(ValueError, match="closed"):
        session.run(x=np.full(1, 3, np.float32))


def test_no_process_is_left_behind(tmp_path: Path) -> None:
    path = write(model(node("Relu", "x")), tmp_path)
    with Session(path) as session:
        process = session._engine._process  # type: ignore[attr-defined]
        assert process.poll() is None
    assert process.poll() is not None
