"""What each construct becomes."""

from typing import Any

import pytest

from dlc.grammar import ast
from dlc.grammar.ast import (
    Argument,
    Assign,
    Attribute,
    Augment,
    Binary,
    Block,
    Branch,
    Call,
    Collect,
    Comprehension,
    Conditional,
    Data,
    DataField,
    EllipsisLiteral,
    Ensure,
    Expr,
    For,
    If,
    Import,
    Index,
    Language,
    Let,
    ListExpr,
    Literal,
    Loop,
    Minimize,
    Name,
    Parameter,
    Phase,
    Pipe,
    RecordExpr,
    Report,
    Require,
    Result,
    Return,
    Setting,
    Settings,
    Slice,
    Train,
    TupleExpr,
    TypeExpr,
    Unary,
    Update,
    WeightDecl,
)
from dlc.grammar.diagnostics import Sink
from dlc.grammar.parse import parse
from dlc.grammar.source import Source, Span

AT = Span(Source("", ""), 0, 0)


def read(text: str) -> ast.File:
    sink = Sink()
    file = parse(Source("spec.dl", text), sink)
    assert [diagnostic.message for diagnostic in sink] == []
    return file


def expression(text: str) -> Expr:
    (let,) = read(f"let it = {text}\n").items
    assert isinstance(let, Let)
    return let.value


def body(text: str) -> tuple[Any, ...]:
    """The statements of a block with this body, indented by four."""
    (block,) = read("block B(x):\n" + "".join(f"    {line}\n" for line in text.splitlines())).items
    assert isinstance(block, Block)
    return block.body


def name(text: str) -> Name:
    return Name(AT, text)


def names(text: str) -> tuple[Name, ...]:
    return tuple(name(word) for word in text.split())


def literal(value: float | str | bool | None) -> Literal:
    return Literal(AT, value)


def type_(element: str, dims: tuple[Expr, ...] | None = None, below: Expr | None = None) -> TypeExpr:
    return TypeExpr(AT, name(element), dims, below)


def call(function: str | Expr, *arguments: Expr, **named: Expr) -> Call:
    given = [Argument(AT, None, value) for value in arguments]
    given += [Argument(AT, name(key), value) for key, value in named.items()]
    return Call(AT, name(function) if isinstance(function, str) else function, tuple(given))


def binary(left: Expr, operator: str, right: Expr) -> Binary:
    return Binary(AT, operator, left, right)


a, b, c, x, y = (name(letter) for letter in "abcxy")
one, two, three = literal(1), literal(2), literal(3)


# --- expressions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("007", 7),
        ("10_000", 10_000),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("0.5", 0.5),
        ("1_0.2_5", 10.25),
        ("3e-4", 3e-4),
        ("1E+3", 1000.0),
        ("0e-999", 0.0),
        ("5e-324", 5e-324),
        ("true", True),
        ("false", False),
        ("none", None),
        ('"n t (h e) -> n h t e"', "n t (h e) -> n h t e"),
        (r'"a\n\t\"\\\u00e9"', 'a\n\t"\\é'),
        ('"# not a comment ( "', "# not a comment ( "),
        ('""', ""),
        ('"é日🙂"', "é日🙂"),
    ],
)
def test_literals(text: str, value: object) -> None:
    found = expression(text)
    assert isinstance(found, Literal)
    assert found.value == value
    assert type(found.value) is type(value)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("x", x),
        ("x'", name("x'")),
        ("größe", name("größe")),
        ("\u00b5", name("\u03bc")),  # the micro sign is the Greek letter, as in Python
        ("(x)", x),
        ("(x,)", TupleExpr(AT, (x,))),
        ("(x, y)", TupleExpr(AT, (x, y))),
        ("(x, y,)", TupleExpr(AT, (x, y))),
        ("[]", ListExpr(AT, ())),
        ("[x]", ListExpr(AT, (x,))),
        ("[x, y,]", ListExpr(AT, (x, y))),
        ("[none]", ListExpr(AT, (literal(None),))),
        ("(a=1)", RecordExpr(AT, (Argument(AT, a, one),))),
        ("(a=1, b=2,)", RecordExpr(AT, (Argument(AT, a, one), Argument(AT, b, two)))),
        ("[a for x, y in b]", Comprehension(AT, a, (x, y), b)),
        ("f()", call("f")),
        ("f(x, y=2,)", call("f", x, y=two)),
        ("f(1)(2)", call(call("f", one), two)),
        ("f(x for x in a)", call("f", Comprehension(AT, x, (x,), a))),
        ("x.T", Attribute(AT, x, name("T"))),
        ("net.f[0].T", Attribute(AT, Index(AT, Attribute(AT, name("net"), name("f")), (literal(0),)), name("T"))),
        ("x[:, none]", Index(AT, x, (Slice(AT, None, None), literal(None)))),
        ("x[1:2, ..., a:, :b]", Index(AT, x, (
            Slice(AT, one, two), EllipsisLiteral(AT), Slice(AT, a, None), Slice(AT, None, b)))),
        ("x[[0, 1]]", Index(AT, x, (ListExpr(AT, (literal(0), one)),))),
        ("-x ** 2", Unary(AT, "-", binary(x, "**", two))),
        ("x ** -y ** 2", binary(x, "**", Unary(AT, "-", binary(y, "**", two)))),
        ("a - b - c", binary(binary(a, "-", b), "-", c)),
        ("a + b * c", binary(a, "+", binary(b, "*", c))),
        ("(a + b) * c", binary(binary(a, "+", b), "*", c)),
        ("a @ b // c % x / y", binary(binary(binary(binary(a, "@", b), "//", c), "%", x), "/", y)),
        ("not a == b", Unary(AT, "not", binary(a, "==", b))),
        ("a or b and not c", binary(a, "or", binary(b, "and", Unary(AT, "not", c)))),
        ("(a < b) < c", binary(binary(a, "<", b), "<", c)),
        ("a <= b and b != c", binary(binary(a, "<=", b), "and", binary(b, "!=", c))),
        ("a if b else c", Conditional(AT, a, b, c)),
        ("a if b else c if x else y", Conditional(AT, a, b, Conditional(AT, c, x, y))),
    ],
)  # fmt: skip
def test_expressions(text: str, tree: Expr) -> None:
    assert expression(text) == tree


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a -> b -> c", Pipe(AT, (a, b, c))),
        ("(a -> b) -> c", Pipe(AT, (Pipe(AT, (a, b)), c))),
        ("a -> (b -> c)", Pipe(AT, (a, Pipe(AT, (b, c))))),
        ("a + b -> c", Pipe(AT, (binary(a, "+", b), c))),
        ("a -> b + c", Pipe(AT, (a, binary(b, "+", c)))),
        ("x if c else x -> a", Conditional(AT, x, c, Pipe(AT, (x, a)))),
        ("a -> b if c else x", Conditional(AT, Pipe(AT, (a, b)), c, x)),
        ('x > 0.5 -> cast("float")', Pipe(AT, (binary(x, ">", literal(0.5)), call("cast", literal("float"))))),
        ("(x, y) -> a", Pipe(AT, (TupleExpr(AT, (x, y)), a))),
        ("f(a -> b)", call("f", Pipe(AT, (a, b)))),
        ("a\n    -> b\n\n    # between\n  -> c", Pipe(AT, (a, b, c))),
        ("a  # first\n-> b", Pipe(AT, (a, b))),
    ],
)
def test_pipes(text: str, tree: Expr) -> None:
    assert expression(text) == tree


# --- statements -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("y = x", Assign(AT, (y,), x)),
        ("a, b = x", Assign(AT, (a, b), x)),
        ("x.W := y", Update(AT, Attribute(AT, x, name("W")), y)),
        ("x[0] := y", Update(AT, Index(AT, x, (literal(0),)), y)),
        ("x := y", Update(AT, x, y)),
        ("weight W: float[a] ~ f()", WeightDecl(AT, "weight", name("W"), type_("float", (a,)), None, call("f"))),
        ("weight W: float[] = 0", WeightDecl(AT, "weight", name("W"), type_("float", ()), literal(0), None)),
        ("constant W: float[a]", WeightDecl(AT, "constant", name("W"), type_("float", (a,)), None, None)),
        ("return x", Return(AT, (x,))),
        ("return x, y", Return(AT, (x, y))),
        ('require a, "why"', Require(AT, a, literal("why"))),
        ("require (a)", Require(AT, a, None)),
        ("require -a == b", Require(AT, binary(Unary(AT, "-", a), "==", b), None)),
        ("ensure f() < 1", Ensure(AT, binary(call("f"), "<", one))),
        ("minimize x", Minimize(AT, "minimize", x, (), None)),
        ("minimize [x]", Minimize(AT, "minimize", ListExpr(AT, (x,)), (), None)),
        ("maximize x over a, b using c", Minimize(AT, "maximize", x, (a, b), c)),
        ("minimize x using c", Minimize(AT, "minimize", x, (), c)),
        ("report y = x", Report(AT, y, x)),
        ("for a, b in x:\n    y = 1", For(AT, (a, b), x, (Assign(AT, (y,), one),))),
        ("loop 10:\n    y = 1", Loop(AT, (), (literal(10),), None, (), (Assign(AT, (y,), one),))),
        ("loop (a):\n    y = 1", Loop(AT, (), (a,), None, (), (Assign(AT, (y,), one),))),
        ("loop a in x:\n    y = 1", Loop(AT, (a,), (x,), None, (), (Assign(AT, (y,), one),))),
        ("loop a, b in x, y along -1 collecting a as c, b + 1 as x:\n    y = 1", Loop(
            AT, (a, b), (x, y), Unary(AT, "-", one),
            (Collect(AT, a, c), Collect(AT, binary(b, "+", one), x)), (Assign(AT, (y,), one),))),
        ("if a:\n    y = 1", If(AT, (Branch(AT, a, (Assign(AT, (y,), one),)),))),
        ("if a:\n    y = 1\nelif b:\n    y = 2\nelif c:\n    return x\nelse:\n    y = 3\n    y = 1", If(AT, (
            Branch(AT, a, (Assign(AT, (y,), one),)),
            Branch(AT, b, (Assign(AT, (y,), two),)),
            Branch(AT, c, (Return(AT, (x,)),)),
            Branch(AT, None, (Assign(AT, (y,), three), Assign(AT, (y,), one)))))),
    ],
)  # fmt: skip
def test_statements(text: str, tree: ast.Statement) -> None:
    assert body(text) == (tree,)


def test_bodies_nest_and_end() -> None:
    found = body("for a in x:\n    if b:\n        y = 1\n\n# aside\nreturn y")
    inner = If(AT, (Branch(AT, b, (Assign(AT, (y,), one),)),))
    assert found == (For(AT, (a,), x, (inner,)), Return(AT, (y,)))


SOFT = [
    *("along", "as", "augment", "block", "collecting", "constant", "data", "ensure", "evaluate", "from", "import"),
    *("image", "label", "language", "let", "loop", "maximize", "minimize", "model", "on", "over", "report", "require"),
    *("settings", "source", "split", "step", "target", "train", "using", "weight", "float"),
]


@pytest.mark.parametrize("word", SOFT)
def test_words_of_the_language_are_names_where_no_word_is_due(word: str) -> None:
    assert body(f"{word} = 1") == (Assign(AT, (name(word),), one),)
    assert body(f"{word}, a = x") == (Assign(AT, (name(word), a), x),)
    assert body(f"{word}.W := x") == (Update(AT, Attribute(AT, name(word), name("W")), x),)
    assert body(f"if a:\n    y = 1\n{word} = 1")[1] == Assign(AT, (name(word),), one)
    assert body(f"report {word} = {word}") == (Report(AT, name(word), name(word)),)
    assert expression(f"{word} + {word}({word}={word})[{word}].{word}") == binary(
        name(word), "+", Attribute(AT, Index(AT, call(word, **{word: name(word)}), (name(word),)), name(word))
    )
    (data,) = read(f"data {word}:\n    {word}: float[{word}] = {word}\n    {word} = {word}\n").items
    field = DataField(AT, name(word), type_("float", (name(word),)), name(word))
    assert data == Data(AT, name(word), (field, Setting(AT, name(word), name(word))))
    (train,) = read(f"train {word} on {word}:\n    {word} = {word}\n    {word}(a):\n        y = 1\n").items
    phase = Phase(AT, name(word), (Parameter(AT, a, None, None),), (Assign(AT, (y,), one),))
    assert train == Train(AT, name(word), name(word), (Assign(AT, (name(word),), name(word)), phase))


# --- declarations -----------------------------------------------------------------------------------------------


def test_language_imports_and_lets() -> None:
    text = "language 1\nfrom std.transformer import A, B\nfrom .x import A\nfrom ....x.y import (A,\n  B,)\nlet a = 1\n"
    file = read(text)
    pair = names("A B")
    assert file.items == (
        Language(AT, one),
        Import(AT, 0, names("std transformer"), pair),
        Import(AT, 1, names("x"), names("A")),
        Import(AT, 4, names("x y"), pair),
        Let(AT, a, one),
    )


def test_blocks_and_models() -> None:
    text = """\
block B(
    x: float[..., N], y: int[N, T] < a + 1, b: layer = c,
    a = 1,
) -> float[N, a]:
    return x

model M()
        -> (x: float[], y: int < 3):
    return x

block C(x):
    return x
"""
    returned = (Return(AT, (x,)),)
    assert read(text).items == (
        Block(
            AT,
            "block",
            name("B"),
            (
                Parameter(AT, x, type_("float", (EllipsisLiteral(AT), name("N"))), None),
                Parameter(AT, y, type_("int", names("N T"), binary(a, "+", one)), None),
                Parameter(AT, b, type_("layer"), c),
                Parameter(AT, a, None, one),
            ),
            (Result(AT, None, type_("float", names("N a"))),),
            returned,
        ),
        Block(
            AT,
            "model",
            name("M"),
            (),
            (Result(AT, x, type_("float", ())), Result(AT, y, type_("int", None, three))),
            returned,
        ),
        Block(AT, "block", name("C"), (Parameter(AT, x, None, None),), None, returned),
    )


def test_data() -> None:
    text = """\
data D:
    source = csv("a.csv")
    x: float[1, 8] = y / 16
    label: int[] < 10
    augment:
        x = f(x)
    split = (a=1)
"""
    assert read(text).items == (
        Data(
            AT,
            name("D"),
            (
                Setting(AT, name("source"), call("csv", literal("a.csv"))),
                DataField(AT, x, type_("float", (one, literal(8))), binary(y, "/", literal(16))),
                DataField(AT, name("label"), type_("int", (), literal(10)), None),
                Augment(AT, (Assign(AT, (x,), call("f", x)),)),
                Setting(AT, name("split"), RecordExpr(AT, (Argument(AT, a, one),))),
            ),
        ),
    )


def test_train() -> None:
    text = """\
train T on D:
    a = M() from "runs/base"
    b, c = f()
    settings:
        batch = all
    step:
        if a:
            minimize x
        for y in b:
            loop 2:
                minimize y
    evaluate:
        report y = x
    sample(x = 1):
        return x
    recall():
        return x
"""
    minimized = Minimize(AT, "minimize", x, (), None)
    assert read(text).items == (
        Train(
            AT,
            name("T"),
            name("D"),
            (
                Assign(AT, (a,), call("M"), literal("runs/base")),
                Assign(AT, (b, c), call("f")),
                Settings(AT, (Setting(AT, name("batch"), name("all")),)),
                Phase(
                    AT,
                    name("step"),
                    None,
                    (
                        If(AT, (Branch(AT, a, (minimized,)),)),
                        For(AT, (y,), b, (Loop(AT, (), (two,), None, (), (Minimize(AT, "minimize", y, (), None),)),)),
                    ),
                ),
                Phase(AT, name("evaluate"), None, (Report(AT, y, x),)),
                Phase(AT, name("sample"), (Parameter(AT, x, None, one),), (Return(AT, (x,)),)),
                Phase(AT, name("recall"), (), (Return(AT, (x,)),)),
            ),
        ),
    )


# --- spans, comments, layout ------------------------------------------------------------------------------------


def test_spans_are_ranges_of_characters() -> None:
    text = "let π = (a + b) * f(c, d=1)  # é\n\n"
    text += "block B(x: float[N]):\n    for i in a:\n        y = [i]\n    return -x\n\n"
    let, block = read(text).items
    assert isinstance(let, Let)
    assert isinstance(block, Block)
    assert let.span.text == "let π = (a + b) * f(c, d=1)"
    product = let.value
    assert isinstance(product, Binary)
    assert [node.span.text for node in (product, product.left, product.right)] == [
        "(a + b) * f(c, d=1)",
        "a + b",
        "f(c, d=1)",
    ]
    assert isinstance(product.right, Call)
    assert [argument.span.text for argument in product.right.arguments] == ["c", "d=1"]
    assert block.span.text == text[text.index("block") :].rstrip()
    assert block.parameters[0].span.text == "x: float[N]"
    loop, returned = block.body
    assert loop.span.text == "for i in a:\n        y = [i]"
    assert returned.span.text == "return -x"
    assert (returned.span.line, returned.span.column) == (6, 5)


def test_comments_are_kept_with_their_places() -> None:
    text = "# one\nlet a = [  # two\n    # three\n    1]\nblock B(x):\n    # four\n    return x  # five\n  # six"
    comments = read(text).comments
    assert [(comment.text, comment.own_line) for comment in comments] == [
        ("# one", True),
        ("# two", False),
        ("# three", True),
        ("# four", True),
        ("# five", False),
        ("# six", True),
    ]
    assert all(comment.span.text == comment.text for comment in comments)


def test_the_comments_directly_above_a_declaration_document_it() -> None:
    text = """\
# not this, a blank line follows

# First.
#  Indented.
#
#no blank
let a = 1
let b = 2  # behind
let c = 3
    # not at the margin
let d = 4
# of the model
model M(x):
    # within
    return x
# of the import
from a import b
"""
    file = read(text)
    assert [item.doc for item in file.items if isinstance(item, Let | Block)] == [
        "First.\n Indented.\n\nno blank",
        "",
        "",
        "",
        "of the model",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "# nothing",
        "\ufeff",
        "   \n\t\n",
        "\f\n",
    ],
)
def test_a_file_may_be_empty(text: str) -> None:
    assert read(text).items == ()


@pytest.mark.parametrize(
    "text",
    [
        "block B(x):\n    y = x\n    return y",
        "block B(x):\r\n    y = x\r\n\r\n    return y\r\n",
        "\ufeffblock B(x):\n    y = x\n    return y\n",
        "block B(x):\n\ty = x\n\treturn y\n",
        "\fblock B(x):\n    y = x\n\f    return y\n",
        "block B(x):\n\n    y = x   \n\n\n# aside\n      # aside\n    return y\n    # last",
        "block B(\n  x\n    ):\n  y = (\nx\n)\n  return y\n",
        "block B(x):  # a\n    y = x  # b\n    return y  # c\n",
        "block\tB ( x ) :\n    y=x\n    return y",
    ],
)
def test_layouts_of_the_same_block(text: str) -> None:
    assert read(text).items == (
        Block(AT, "block", name("B"), (Parameter(AT, x, None, None),), None, (Assign(AT, (y,), x), Return(AT, (y,)))),
    )
