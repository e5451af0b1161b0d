from dlc.grammar.diagnostics import Sink
from dlc.grammar.parse import parse
from dlc.grammar.source import Source
from dlc.runtime.show.ast_text import dump


def _dump(text: str) -> str:
    sink = Sink()
    tree = dump(parse(Source("spec.dl", text), sink))
    assert len(sink) == 0
    return tree


def test_a_declaration_as_a_tree() -> None:
    assert _dump('# how wide\nlet width = 2 * -a.b("x y", c=[none, 1.5])\n') == (
        "File\n"
        "  Let\n"
        "    name: width\n"
        "    value: Binary\n"
        '      operator: "*"\n'
        "      left: 2\n"
        "      right: Unary\n"
        '        operator: "-"\n'
        "        operand: Call\n"
        "          function: Attribute\n"
        "            value: a\n"
        "            name: b\n"
        "          arguments:\n"
        "            Argument\n"
        '              value: "x y"\n'
        "            Argument\n"
        "              name: c\n"
        "              value: ListExpr\n"
        "                items:\n"
        "                  none\n"
        "                  1.5\n"
        '    doc: "how wide"\n'
    )


def test_names_and_strings_and_emptiness_are_told_apart() -> None:
    assert "value: a\n" in _dump("let x = a\n")
    assert 'value: "a"\n' in _dump('let x = "a"\n')
    assert "items: none\n" in _dump("let x = []\n")


def test_trees_that_differ_print_differently() -> None:
    texts = ["let x = (a -> b) -> c\n", "let x = a -> b -> c\n", "let x = a + b * c\n", "let x = (a + b) * c\n"]
    assert len({_dump(text) for text in texts}) == len(texts)


def test_the_deepest_expression_is_printed() -> None:
    assert _dump("let x = " + "-" * 198 + "1\n").count("Unary") == 198
