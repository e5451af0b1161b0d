# ruff: noqa: E501 - a spec and what is told of it stand on one line.
"""Wrong specs and what is said about them: the most important ones as they are shown, the others in a line."""

import pytest

from dlc.grammar.diagnostics import Sink
from dlc.grammar.parse import parse
from dlc.grammar.render import render_text
from dlc.grammar.source import Source

HEAD = "block B(x: float[N, d]) -> float[N, d]:\n"


def reports(text: str) -> Sink:
    sink = Sink()
    parse(Source("spec.dl", text), sink)
    return sink


SHOWN = {
    "missing colon": (
        HEAD + "    for i in range(3)\n        x = relu(x)\n    return x\n",
        """\
error[DL1002]: this line opens a body and needs a `:` at its end
  --> spec.dl:2:22
   |
 2 |     for i in range(3)
   |                      ^
help: end the line with `:`
""",
    ),
    "unclosed bracket": (
        HEAD + "    y = f(a, g(b)\n    return y\n",
        """\
error[DL1003]: `(` is never closed
  --> spec.dl:2:10
   |
 2 |     y = f(a, g(b)
   |          ^
help: close it with `)`
""",
    ),
    "wrong bracket": (
        "let sizes = [f(1, 2]\n",
        """\
error[DL1004]: `]` stands where `)` is due
  --> spec.dl:1:20
   |
 1 | let sizes = [f(1, 2]
   |               -    ^
   |               |
   |               opened here
""",
    ),
    "missing comma in brackets over lines": (
        "let sizes = f(1,\n    2\n    3)\n",
        """\
error[DL1001]: expected `)` or `,`, found `3`
  --> spec.dl:3:5
   |
 1 | let sizes = f(1,
   |              - opened here
 3 |     3)
   |     ^
""",
    ),
    "unterminated string": (
        'data D:\n    source = sklearn("digits)\n    x: float[1] = y\n',
        """\
error[DL1005]: this string is not closed
  --> spec.dl:2:22
   |
 2 |     source = sklearn("digits)
   |                      ^^^^^^^^
help: end it with `"` on the same line
""",
    ),
    "equal for a comparison": (
        HEAD + "    if d = 3:\n        return x\n    else:\n        return 2 * x\n",
        """\
error[DL1014]: `=` cannot stand in an expression
  --> spec.dl:2:10
   |
 2 |     if d = 3:
   |          ^
help: `==` compares
""",
    ),
    "chain of comparisons": (
        "let fits = 0 < width <= 64\n",
        """\
error[DL1013]: comparisons do not chain
  --> spec.dl:1:12
   |
 1 | let fits = 0 < width <= 64
   |            ^^^^^^^^^^^^^^^
help: write `0 < width and width <= 64`
""",
    ),
    "misspelt declaration": (
        "modl M(x: float[N]):\n    y = = 2\n",
        """\
error[DL1016]: `modl` does not start a declaration
  --> spec.dl:1:1
   |
 1 | modl M(x: float[N]):
   | ^^^^
help: did you mean `model`?
""",
    ),
    "misspelt statement": (
        HEAD + "    wieght W: float[d] ~ normal(0, 1)\n    return x * W\n",
        """\
error[DL1016]: `wieght` does not start a statement
  --> spec.dl:2:5
   |
 2 |     wieght W: float[d] ~ normal(0, 1)
   |     ^^^^^^
help: did you mean `weight`?
""",
    ),
    "no end of an expression": (
        HEAD + "    y = x +\n        2\n    return y\n",
        """\
error[DL1001]: expected an expression, found the end of the line
  --> spec.dl:2:12
   |
 2 |     y = x +
   |            ^
help: an expression goes on inside brackets, or where the next line starts with `->`
""",
    ),
    "tabs and spaces": (
        HEAD + "    y = x\n\treturn y\n",
        """\
error[DL1009]: this line is indented by 1 tab, the one above by 4 spaces
  --> spec.dl:3:1
   |
 3 |     return y
   | ^^^^
help: indent all lines by spaces
""",
    ),
    "several at once": (
        HEAD + "    y = x x\n    for in y:\n        z = 3 +\n    return y\n\nlet = 3\n",
        """\
error[DL1001]: expected the end of the line or an operator, found `x`
  --> spec.dl:2:11
   |
 2 |     y = x x
   |           ^

error[DL1015]: `in` is a word of the language and cannot be a name
  --> spec.dl:3:9
   |
 3 |     for in y:
   |         ^^

error[DL1001]: expected an expression, found the end of the line
  --> spec.dl:4:16
   |
 4 |         z = 3 +
   |                ^
help: an expression goes on inside brackets, or where the next line starts with `->`

error[DL1001]: expected a name, found `=`
  --> spec.dl:7:5
   |
 7 | let = 3
   |     ^
""",
    ),
}


@pytest.mark.parametrize("title", SHOWN)
def test_shown(title: str) -> None:
    text, shown = SHOWN[title]
    assert render_text(reports(text)) == shown


def block(line: str) -> str:
    return f"{HEAD}    {line}\n    return x\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        # brackets and strings
        ("let a = (1))\n", "DL1004 1:12 `)` closes nothing"),
        ("let a = f(\n\nlet b = 3\n", "DL1003 1:10 `(` is never closed"),
        (HEAD + "    y = f(x\n    return y\n", "DL1003 2:10 `(` is never closed"),
        ("let a = '('\n", "DL1007 1:9 strings stand in double quotes"),
        ("let a = '\n", "DL1007 1:9 strings stand in double quotes"),
        ('let a = """x\ny"""\n', "DL1005 1:9 a string has one quote on each side"),
        ('let a = "x\\"\n', "DL1005 1:9 this string is not closed"),
        ('let a = f("x,\n  y)\n', "DL1005 1:11 this string is not closed"),
        ('let a = "\\x"\n', "DL1006 1:10 `\\x` is not an escape"),
        ('let a = "\\u12"\n', "DL1006 1:10 `\\u` is not an escape"),
        ('let a = "\\ud800"\n', "DL1006 1:10 `\\ud800` is not an escape"),
        ("let a = {x: 1,\n  y: 2}\n", "DL1007 1:9 `{` means nothing here"),
        ("let a = 1 + \\\n  2\n", "DL1007 1:13 `\\` means nothing here"),
        # characters
        ("let a = 1;\n", "DL1007 1:10 `;` means nothing here"),
        ("let a = x \u2192 relu\n", "DL1007 1:11 `\u2192` means nothing here (U+2192 RIGHTWARDS ARROW)"),
        ("let a\u00a0= 1\n", "DL1007 1:6 this character means nothing here (U+00A0 NO-BREAK SPACE)"),
        ("let a = x\u00b2\n", "DL1007 1:10 `\u00b2` means nothing here (U+00B2 SUPERSCRIPT TWO)"),
        ("let a = \u0661\n", "DL1007 1:9 `\u0661` means nothing here (U+0661 ARABIC-INDIC DIGIT ONE)"),
        ("let a = x\x00\n", "DL1007 1:10 this character means nothing here (U+0000)"),
        ("let a = 1\rlet b = 2\n", "DL1007 1:10 this character means nothing here (U+000D)"),
        ("let a = 1\n\ufefflet b = 2\n", "DL1007 2:1 this character means nothing here (U+FEFF ZERO WIDTH NO-BREAK SPACE)"),
        ("let a = \ud800\n", "DL1007 1:9 this character means nothing here (U+D800)"),
        # numbers
        ("let a = 12px\n", "DL1008 1:9 `12px` is not a number"),
        ("let a = 0x10\n", "DL1008 1:9 `0x10` is not a number"),
        ("let a = 1__0\n", "DL1008 1:9 `1__0` is not a number"),
        ("let a = 1_\n", "DL1008 1:9 `1_` is not a number"),
        ("let a = 1e\n", "DL1008 1:9 `1e` is not a number"),
        ("let a = 1.\n", "DL1008 1:9 a number has digits on both sides of its point"),
        ("let a = .5\n", "DL1008 1:9 a number has digits on both sides of its point"),
        ("let a = -1e999\n", "DL1008 1:10 `1e999` is too large for a float"),
        ("let a = 1e-999\n", "DL1008 1:9 `1e-999` is too close to 0 for a float"),
        (f"let a = {'9' * 101}\n", "DL1008 1:9 a whole number has at most 100 digits"),
        # lines and bodies
        ("let a = 1\n  let b = 2\n", "DL1011 2:1 this line is indented, and no line above opens a body"),
        ("  let a = 1\n  let b = 2\n", "DL1011 1:1 this line is indented, and no line above opens a body"),
        (HEAD, "DL1012 1:40 the body of this line is missing"),
        (HEAD + "# nothing\n", "DL1012 1:40 the body of this line is missing"),
        (block("if d == 1:"), "DL1012 2:15 the body of this line is missing"),
        (block("if d == 1: return x"), "DL1012 2:16 a body starts on a line of its own"),
        (HEAD + "        y = x\n    return y\n", "DL1010 3:1 this line is indented by 4 spaces, which matches no line above"),
        ("train T on D:\n    net = M()\n    step\n        minimize net()\n", "DL1002 3:9 this line opens a body and needs a `:` at its end"),
        (block("else:\n        y = 2"), "DL1016 2:5 `else` has no `if` above it"),
        # words
        ("def f(x):\n    return x\n", "DL1016 1:1 `def` does not start a declaration"),
        ("width = 3\n", "DL1016 1:1 `width` does not start a declaration"),
        ("return x\n", "DL1016 1:1 `return` starts a statement, and those stand in a body"),
        (block("let y = 3"), "DL1016 2:5 `let` does not start a statement"),
        (block("block C(y):\n        return y"), "DL1016 2:5 `block` does not start a statement"),
        (block("while d:\n        y = 3"), "DL1016 2:5 `while` does not start a statement"),
        ("train T on D:\n    if x:\n        y = 3\n", "DL1016 2:5 `if` cannot stand here"),
        ("train T on D:\n    minimize x\n", "DL1016 2:5 `minimize` does not start a statement"),
        ("let for = 3\n", "DL1015 1:5 `for` is a word of the language and cannot be a name"),
        (block("y = f(in=3)"), "DL1015 2:11 `in` is a word of the language and cannot be a name"),
        (block("y = x.or"), "DL1015 2:11 `or` is a word of the language and cannot be a name"),
        # statements
        (block("relu(x)"), "DL1017 2:5 the value of this line is not used"),
        (block("x -> relu"), "DL1017 2:5 the value of this line is not used"),
        (block("x"), "DL1017 2:5 the value of this line is not used"),
        (block("x.W = 3"), "DL1014 2:9 `=` binds a plain name"),
        (block("x += 3"), "DL1001 2:7 there is no `+=`"),
        (block("y: int = 3"), "DL1001 2:6 expected `,`, `.`, `:=` or `=`, found `:`"),
        (block("y = x if d"), "DL1001 2:15 expected `else`, found the end of the line"),
        (block("y ="), "DL1001 2:8 expected an expression, found the end of the line"),
        (block("3 + 4"), "DL1001 2:5 expected a statement, found `3`"),
        (block("weight W"), "DL1001 2:13 expected `:`, found the end of the line"),
        (block("y = ()"), "DL1001 2:10 expected an expression, found `)`"),
        (block("y = f(a=1 b=2)"), "DL1001 2:15 expected `)` or `,`, found `b`"),
        (block("y = x[1:2:3]"), "DL1001 2:14 expected `,` or `]`, found `:`"),
        (block("y = x 'T'"), "DL1007 2:11 strings stand in double quotes"),
        (block('y = x "T"'), "DL1001 2:11 expected the end of the line or an operator, found a string"),
        # declarations
        ("block B(x float):\n    return x\n", "DL1001 1:11 expected `)`, `,`, `:` or `=`, found `float`"),
        ("block B:\n    return x\n", "DL1001 1:8 expected `(`, found `:`"),
        ("block B(x) -> :\n    return x\n", "DL1001 1:15 expected `(` or a name, found `:`"),
        ("train T of D:\n    net = M()\n", "DL1001 1:9 expected `on`, found `of`"),
        ("data D:\n    x float[1]\n", "DL1001 2:7 expected `:` or `=`, found `float`"),
        ("from a import *\n", "DL1001 1:15 expected `(` or a name, found `*`"),
        ("let a = 1\nlanguage 1\n", "DL1022 2:1 `language` stands first in a file"),
        ("language 1.0\n", "DL1022 1:10 there is no version 1.0 of the language"),
    ],
)  # fmt: skip
def test_told_once_and_at_its_place(text: str, told: str) -> None:
    found = [
        f"{mistake.code} {mistake.span.place if mistake.span else ''} {mistake.message}" for mistake in reports(text)
    ]
    assert found == [told]


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("minimise y", "did you mean `minimize`?"),
        ("def f(y)", "a part of a network is declared with `block`"),
        ("y = !x", "write `not`"),
        ("y = x && z", "write `and`"),
        ("y = x\u00d72", "write `*`"),
        ("y = 'a'", 'write "a"'),
        ("x.W = 3", "`:=` assigns to a weight"),
        ("x *= 2", "write `x = x * …`"),
        ("y = \u201cn t\u201d", 'write `"`'),
    ],
)
def test_advice(line: str, advice: str) -> None:
    assert [mistake.help for mistake in reports(block(line))] == [advice]
