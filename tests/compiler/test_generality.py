from dlc.compiler.dim import Dim
from dlc.compiler.elaborate import elaborate
from dlc.compiler.generality import binding
from dlc.compiler.graph import Graph
from dlc.compiler.program import Schema, SourceCall
from dlc.grammar import ast
from dlc.grammar.diagnostics import Refusal, Sink
from dlc.grammar.parse import parse
from dlc.grammar.source import Source

SPEC = """
let slope = 0.2

block Mix(x: float[N, T, d], hidden: int) -> float[N, T, d]:
    return x + (x -> linear(hidden) -> leaky_relu(slope) -> linear(d))

model M(x: float[N, T, d], heads = 2, doubled = true) -> (y: float[N, T, d]):
    require d % heads == 0, "heads share the width"
    weight place: float[d] = 0
    h = x + place
    for i in range(2):
        h = h -> Mix(2*d)
    parts = h -> reshape(N, T, heads, d // heads)
    folded = parts * 2 if doubled else parts
    return folded -> reshape(N, T, d)
"""


class Nothing:
    """A loader for specs that load nothing."""

    def module(self, statement: ast.Import) -> ast.File:
        raise Refusal

    def schema(self, call: SourceCall) -> Schema:
        raise Refusal


def model(**overrides: str) -> Graph:
    sink = Sink()
    program = elaborate(parse(Source("spec.dl", SPEC), sink), sink, loader=Nothing(), overrides=overrides)
    assert [diagnostic.message for diagnostic in sink] == []
    return program.models["M"].graph


def found(general: Graph, special: Graph) -> dict[str, Dim] | None:
    sizes = binding(general, special)
    return None if sizes is None else {symbol.name: size for symbol, size in sizes.items()}


def test_numbers_stand_for_symbols() -> None:
    sizes = found(model(), model(d="6", T="5"))
    assert sizes is not None
    assert (sizes["T"], sizes["d"]) == (5, 6)
    assert str(sizes["N"]) == "N"


def test_a_graph_covers_itself_and_its_twin() -> None:
    graph = model(d="6")
    assert binding(graph, graph) is not None
    assert binding(graph, model(d="6")) is not None


def test_the_special_does_not_cover_the_general() -> None:
    assert binding(model(d="6"), model()) is None
    assert binding(model(d="6"), model(d="8")) is None


def test_another_branch_is_something_else() -> None:
    assert binding(model(d="6"), model(d="6", doubled="false")) is None


def test_another_static_value_is_something_else_though_no_weight_shows_it() -> None:
    assert binding(model(), model(d="6", heads="3")) is None
    assert binding(model(), model(d="6", slope="0.3")) is None
