from dlc.compiler.dim import Dim
from dlc.compiler.elaborate import elaborate
from dlc.compiler.program import Program, Schema, SourceCall
from dlc.compiler.types import DType, Tensor
from dlc.grammar import ast
from dlc.grammar.diagnostics import Refusal, Sink
from dlc.grammar.parse import parse
from dlc.grammar.source import Source
from dlc.runtime.show.graph_text import dump, static

SPEC = """\
block Half(x: float[N, d], out: int) -> float[N, out]:
    require N < 100, "few"
    y = x -> linear(out) -> leaky_relu(0.2)
    return y + x[:, :out]

model M(x: float[N, 8]) -> (y: float[N, 2], z: float[N, 4]):
    weight scale: float[8] ~ normal(0, 0.5)
    h = x * scale
    h = Half(h, 4)
    return Half(h, 2), h

data D:
    source = table("flowers")
    x: float[8] = columns / 2
    split = (train=0.75, valid=0.25)
"""

EXPECTED = """\
graph Half(x: float[N, 8]) -> (output: float[N, 4])
  own linear: linear(out=4)
    weight: float[4, 8] ~ default(fan=8)
    bias: float[4] ~ default(fan=8)
  require N < 100, "few"
  %1: float[N, 4] = linear(x, out=4) @ linear
  y: float[N, 4] = leaky_relu(%1, slope=0.2)
  %2: float[N, 4] = index(x, items=[:, :4])
  %3: float[N, 4] = add(y, %2)
  return %3
"""


class Columns:
    """A loader that knows one table."""

    def module(self, statement: ast.Import) -> ast.File:
        raise Refusal

    def schema(self, call: SourceCall) -> Schema:
        return Schema({"columns": Tensor(DType.FLOAT, (Dim.of(8),))})


def program(text: str) -> Program:
    sink = Sink()
    checked = elaborate(parse(Source("spec.dl", text), sink), sink, loader=Columns())
    assert [diagnostic.message for diagnostic in sink] == []
    return checked


def test_each_graph_stands_once_before_its_callers() -> None:
    text = dump(program(SPEC))
    assert text.startswith(EXPECTED)
    heads = [line for line in text.splitlines() if not line.startswith(" ") and line]
    assert heads == [
        "graph Half(x: float[N, 8]) -> (output: float[N, 4])",
        "graph Half'2(x: float[N, 4]) -> (output: float[N, 2])",
        "graph M(x: float[N, 8]) -> (y: float[N, 2], z: float[N, 4])",
        'data D from table("flowers")',
    ]


def test_a_name_bound_again_is_told_apart() -> None:
    lines = dump(program(SPEC)).splitlines()
    assert "  h: float[N, 8] = multiply(x, scale)" in lines
    assert "  h'2: float[N, 4] = Half(h) @ Half" in lines
    assert "  %1: float[N, 2] = Half'2(h'2) @ Half_2" in lines
    assert "  return %1, h'2" in lines


def test_data_shows_its_columns_and_fields() -> None:
    text = dump(program(SPEC))
    assert text.endswith(
        'data D from table("flowers")\n'
        "  column columns: float[8]\n"
        "  split train=0.75, valid=0.25\n"
        "  field x: float[8]\n"
        "    %1: float[8] = divide(columns, 2)\n"
        "    return %1\n"
    )


def test_static_values_are_written_as_in_the_language() -> None:
    values = [None, True, 'a"b', (1, 2.5), DType.INT32, Dim.symbol("N") * 2]
    assert [static(value) for value in values] == ["none", "true", '"a\\"b"', "[1, 2.5]", "int32", "2*N"]


def test_a_loop_shows_its_turns() -> None:
    text = dump(
        program(
            "model M(xs: float[N, T, 4]) -> (h: float[N, 4], hs: float[N, T, 4]):\n"
            "    h = zeros(N, 4)\n"
            "    loop x in xs along 1 collecting h as hs:\n"
            "        h = h + x\n"
            "    return h, hs\n"
        )
    )
    assert text.split("\n", 1)[1] == (
        "  h: float[N, 4] = zeros(shape=[N, 4])\n"
        "  h'2: float[N, 4], hs: float[N, T, 4] = loop 0:T:1 along 1(xs, h)\n"
        "    turn(x: float[N, 4], h'3: float[N, 4])\n"
        "      h'4: float[N, 4] = add(h'3, x)\n"
        "      next h'4\n"
        "      collect h'4\n"
        "  return h'2, hs\n"
    )
