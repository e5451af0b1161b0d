"""The canonical layout: says the same, keeps every comment, and is its own layout."""

from collections import Counter
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dlc.grammar import page, phrase
from dlc.grammar.ast import File
from dlc.grammar.diagnostics import Sink
from dlc.grammar.format import format_file
from dlc.grammar.parse import parse
from dlc.grammar.source import Source

ROOT = Path(__file__).parent.parent.parent
SPECS = {path.name: path.read_text() for path in [*ROOT.glob("tests/examples/*.dl"), *ROOT.glob("specs/**/*.dl")]}

# One of everything, laid out badly.
TEXT = """\
language   1
# Where it comes from.
from ..a.b  import (B,C,)
from .c import D
let x=[ i for i in range( 3 ) ]if not a==b else(a=1,b=-2.5e3)->f( x,y ="s\\n" ) [1:,...,none] .T  # why


let y = 1_000

# Doc.
#  More.
block B (x:float[..., N]<3*v, y=1,)->(a : float[ N ],b:int) :
  weight W :float[x]~ normal(0,1)
  constant c: int[ ]=3
  constant d:int[]

  a,b=x@W
     ->relu  # how
     # and
     ->((f))

  loop  t ,u in range(3),y along 1 collecting a as b,h+1 as hs :  # turns
      # first
      if(a):
          a=(1 ,
2)
          a = (1,)
      # before elif
      elif b or(c==d) :
          net.W[0] :=2
          # end of elif
      else :
          return a,(b,c)
      # end of loop
  # end of block
  loop 10:
    require(a),"why"
    ensure f(a)
    for a,b in c:
          minimize a over b.c,d using sgd(lr = 0.1)
          maximize(a -> f)
  return -(a**b)**-c, not(a and(b or c)), f(i for i in x), f([i for i in x])
# About the data.

data D:
    source=csv("a")
    x:float[1]<5=a
    label : int[ ]
    augment :
       x=f( x )
train T on D:
    net=M( )from"r"
    settings:   # how it learns
        batch=all
    step:
        report y=x
    sample ( n=16 ) :
        return y
# The end.
"""


def read(text: str) -> File:
    sink = Sink()
    file = parse(Source("spec.dl", text), sink)
    assert not list(sink), (text, list(sink))
    return file


def laid_out(text: str) -> str:
    """The layout of a text, after it was tried."""
    file = read(text)
    result = format_file(file)
    again = read(result)
    assert again == file, result
    assert format_file(again) == result
    assert words(again) == words(file)
    for line in result.splitlines():
        assert line == line.rstrip(" ")
    assert "\n\n\n" not in result
    return result


def words(file: File) -> Counter[str]:
    """The words of all comments: two comments may come to stand on one line."""
    return Counter(word for comment in file.comments for word in comment.text.split("  "))


def statement(text: str) -> str:
    """The layout of a statement of a block."""
    head = "block B(x):\n    "
    return laid_out(head + text + "\n").removeprefix(head).removesuffix("\n")


def test_one_of_everything() -> None:
    expected = """\
language 1

# Where it comes from.
from ..a.b import B, C
from .c import D

let x = [i for i in range(3)] if not a == b else (a=1, b=-2.5e3) -> f(x, y="s\\n")[1:, ..., none].T  # why

let y = 1_000

# Doc.
#  More.
block B(x: float[..., N] < 3*v, y = 1) -> (a: float[N], b: int):
    weight W: float[x] ~ normal(0, 1)
    constant c: int[] = 3
    constant d: int[]

    a, b = x @ W
        -> relu  # how
        # and
        -> f

    loop t, u in range(3), y along 1 collecting a as b, h + 1 as hs:  # turns
        # first
        if a:
            a = (1, 2)
            a = (1,)
        # before elif
        elif b or (c == d):
            net.W[0] := 2
            # end of elif
        else:
            return a, (b, c)
        # end of loop
    # end of block
    loop 10:
        require a, "why"
        ensure f(a)
        for a, b in c:
            minimize a over b.c, d using sgd(lr=0.1)
            maximize a -> f
    return -(a**b) ** -c, not (a and (b or c)), f(i for i in x), f([i for i in x])
# About the data.

data D:
    source = csv("a")
    x: float[1] < 5 = a
    label: int[]
    augment:
        x = f(x)

train T on D:
    net = M() from "r"
    settings:  # how it learns
        batch = all
    step:
        report y = x
    sample(n = 16):
        return y
# The end.
"""
    assert laid_out(TEXT) == expected


@pytest.mark.parametrize("name", SPECS)
def test_specs_are_laid_out(name: str) -> None:
    assert laid_out(SPECS[name]) == SPECS[name], f"dlc fmt {name} brings it into its layout"


@pytest.mark.parametrize("name", SPECS)
def test_lines_fit(name: str) -> None:
    for line in laid_out(SPECS[name]).splitlines():
        assert len(line) <= page.WIDTH or line.lstrip().startswith("#")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("y = ((a))+(b * c)", "y = a + b * c"),
        ("y = (a+b)*c", "y = (a + b) * c"),
        ("y = a-(b-c)", "y = a - (b - c)"),
        ("y = (a-b)-c", "y = a - b - c"),
        ("y = (a**b)**c", "y = (a**b) ** c"),
        ("y = a**(b**c)", "y = a**b**c"),
        ("y = (-a)**b", "y = (-a) ** b"),
        ("y = -(a**b)", "y = -a**b"),
        ("y = (a<b)==c", "y = (a < b) == c"),
        ("y = (a<b) and c", "y = (a < b) and c"),
        ("y = a<b and c", "y = a < b and c"),
        ("y = not (a<b)", "y = not (a < b)"),
        ("y = (a and b) or c", "y = (a and b) or c"),
        ("y = a + (x->f)", "y = a + (x -> f)"),
        ("y = (x->f)->g", "y = (x -> f) -> g"),
        ("y = x->(f->g)", "y = x -> (f -> g)"),
        ("y = x->(f+g)", "y = x -> f + g"),
        ("y = (a if b else c) -> f", "y = (a if b else c) -> f"),
        ("y = a if b else (c if d else e)", "y = a if b else (c if d else e)"),
        ("y = a if b else c if d else e", "y = a if b else c if d else e"),
        ("y = (a if b else c) if d else e", "y = (a if b else c) if d else e"),
        ("y = (x -> f).T[ (0) ]", "y = (x -> f).T[0]"),
        ("y = 2*n + 3 * m", "y = 2*n + 3 * m"),
        ("y = x[a+1 :, : , : -1,None:none]", "y = x[a + 1:, :, :-1, None:none]"),
        ("y = 1.5.T", "y = 1.5.T"),
        ("y = f(a,)", "y = f(a)"),
        ("y = [\n]", "y = []"),
        ('y = "é\\u00e9"', 'y = "é\\u00e9"'),
    ],
)
def test_expressions(written: str, expected: str) -> None:
    assert statement(written) == expected


def test_an_import_too_long_gets_brackets() -> None:
    names = ", ".join(f"Something{number}" for number in range(9))
    first, rest = names[:96].rsplit(" ", 1)[0], names[len(names[:96].rsplit(" ", 1)[0]) + 1 :]
    assert laid_out(f"from std.transformer import {names}\n") == (
        f"from std.transformer import (\n    {first}\n    {rest})\n"
    )


def test_a_sum_too_long_gets_brackets() -> None:
    long = " + ".join(f"something_long({number})" for number in range(6))
    assert statement(f"y = {long}") == (
        "y = (something_long(0) + something_long(1) + something_long(2) + something_long(3)\n"
        "        + something_long(4) + something_long(5))"
    )


def test_a_pipe_breaks_before_an_arrow_and_the_authors_breaks_stay() -> None:
    assert statement("y = x -> f\n  -> (g ->\nh)") == "y = x -> f\n        -> (g\n        -> h)"
    long = " -> ".join(["x", *(f"something_long({number})" for number in range(6))])
    assert statement(f"return {long}") == (
        "return x -> something_long(0) -> something_long(1) -> something_long(2) -> something_long(3)\n"
        "        -> something_long(4) -> something_long(5)"
    )


def test_a_call_too_long_breaks_in_its_brackets() -> None:
    stages = ",\n            ".join(f"conv(width, {number}) -> batch_norm -> relu" for number in range(4))
    assert statement(f"return x -> branch({stages}) -> concat") == (
        f"return x -> branch(\n        {stages}) -> concat".replace("            conv", "        conv")
    )


def test_a_signature_too_long_breaks_before_its_results_then_in_its_brackets() -> None:
    parameters = [f"parameter{number}: float[N, {number}]" for number in range(4)]
    line = f"model M({', '.join(parameters[:3])})"
    assert laid_out(f"{line} -> (something: float[N, 5]):\n    return x\n") == (
        f"{line}\n        -> (something: float[N, 5]):\n    return x\n"
    )
    rows = ",\n        ".join(parameters)
    assert laid_out(f"model M({', '.join(parameters)}) -> float[N]:\n  return x\n") == (
        f"model M(\n        {rows}) -> float[N]:\n    return x\n"
    )


def test_comments_within_brackets_stay_at_their_items() -> None:
    text = """\
        y = f(  # opening
                # above a
                a,  # behind a
                # above b
                b,
                (c  # behind c
                    + d),  # behind d
                # last
            )"""
    assert statement(dedent(text).replace("\n", "\n    ")) == dedent("""\
        y = f(  # opening
                # above a
                a,  # behind a
                # above b
                b,
                c  # behind c
                    + d  # behind d
                # last
            )""")


def test_comments_between_operators_outside_of_brackets_bring_brackets() -> None:
    assert statement("y = (a # one\n + b)") == "y = (a  # one\n        + b)"


def test_blank_lines() -> None:
    before = "let a = 1\n\n\n\nlet b = 2\nlet c = 3\nfrom .a import A\nblock B(x):\n\n"
    after = "let a = 1\n\nlet b = 2\nlet c = 3\n\nfrom .a import A\n\nblock B(x):\n"
    body = "    y = x\n{}    z = y\n\n# Doc.\nlet d = 1\n"
    assert laid_out(before + body.format("\n\n")) == after + body.format("\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "# alone",
        "# a\n\n\n# b\n",
        "\ufeff# doc\nlet a = 1",
        "let a = 1\n  # no doc\nlet b = 2\n",
        "let a = 1\n# no doc\n  # nor this\n# doc\nlet b = 2\n",
        "block B(x):\n    y = x\n  # between\nlet b = 2\n",
        "block B(x):\n\ty = x\n\t# tab\n\tif y:\n\t\tz = y\n\t# inner\n\tw = z\n# doc\nlet b = 2\n",
        "let a = f(a # one\n .b)\nlet b = (2 # two\n)  # three\n",
        "let a = f(\n # one\n .b) if x else 2\n".replace(" .b", "b\n # two\n.b"),
        "let a = 1  # behind\r\n\r\nlet b = 2\r\n",
        "block B(x): # a\n    # b\n    return x # c\n    # d\n# e\n\n# f\n",
        "block B(  # a\n x, # b\n y # c\n # d\n) -> ( # e\n z: float[N # f\n ] ): # g\n    return x\n",
        "block B(x):\n    y = x\n        # one\n    # two\n\n  # three\n  -> f # four\n    return y\n",
    ],
)
def test_comments_and_blank_lines_anywhere(text: str) -> None:
    laid_out(text)


# --- any spec ---------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["x", "width", "a_rather_long_name", "loop", "over", "net'", "data"])
ATOMS = NAMES | st.sampled_from(["1", "2.5e-3", '"text # no comment"', "none", "true", "x.T", "[]", "f()"])
SPACE = st.sampled_from(["", "", "", " ", "\n", "  # note\n", "\n  # own\n    "])


def wrapped(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """An expression in brackets, with white space and comments within."""
    return st.builds("({}{}{})".format, SPACE, inner, SPACE)


def compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    part = wrapped(inner)
    operators = st.sampled_from(["+", "-", "*", "/", "//", "%", "@", "**", "==", "<", ">=", "and", "or", "->"])
    tight = st.sampled_from(["+", "*", "**", "->", "<"])
    named = st.builds("{}={}{}".format, NAMES, SPACE, inner)
    items = st.lists(inner | named, min_size=1, max_size=4)
    joined = st.builds(lambda items, space: f",{space}".join(items), items, SPACE)
    plain = st.builds(lambda items, space: f",{space}".join(items), st.lists(inner, min_size=2, max_size=4), SPACE)
    return st.one_of(
        part,
        st.builds("{} {} {}".format, part, operators, part),
        st.builds("{}{}{}".format, part, tight, part),
        st.builds("{} -> {} -> {}".format, part, part, part),
        st.builds("{} if {} else {}".format, part, part, part),
        st.builds("-{}".format, part),
        st.builds("not {}".format, part),
        st.builds("{}.{}".format, part, NAMES),
        st.builds("{}({}{}{})".format, NAMES | part, SPACE, joined, SPACE),
        st.builds("{}[{}:{}, {}]".format, NAMES | part, inner, inner, inner),
        st.builds("[{}{}]".format, SPACE, plain),
        st.builds("({}{})".format, SPACE, plain),
        st.builds("({},)".format, inner),
        st.builds("(a={}, b={})".format, inner, inner),
        st.builds("[{} for i in {}]".format, inner, inner),
        st.builds("f({} for i in {})".format, inner, inner),
    )


EXPRESSIONS = st.recursive(ATOMS, compound, max_leaves=12)
STATEMENTS = st.one_of(
    st.builds("y = {}".format, EXPRESSIONS),
    st.builds("return {}, {}".format, EXPRESSIONS, EXPRESSIONS),
    st.builds("require {}, {}".format, EXPRESSIONS, EXPRESSIONS),
    st.builds("minimize {} over {} using {}".format, EXPRESSIONS, EXPRESSIONS, EXPRESSIONS),
    st.builds("weight W: float[({})] = {}".format, EXPRESSIONS, EXPRESSIONS),
    st.builds("loop x in {} collecting {} as b:  # head\n        y = x\n      # tail".format, EXPRESSIONS, EXPRESSIONS),
    st.builds("if {}:\n        y = x\n        # tail\n    else:\n        y = {}".format, EXPRESSIONS, EXPRESSIONS),
)


@settings(deadline=None)
@given(st.lists(STATEMENTS, min_size=1, max_size=2), SPACE, st.sampled_from([20, 40, 100]))
def test_generated_specs(statements: list[str], space: str, width: int) -> None:
    body = "".join(f"    {text}{space if '(' not in space else ''}\n" for text in statements)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "WIDTH", width)
        patch.setattr(phrase, "WIDTH", width)
        laid_out(f"block B(x = 1{space}, y: float[N]) -> (z: float[N]):\n{body}")


@settings(deadline=None)
@given(st.sampled_from([TEXT, *SPECS.values()]), st.data(), st.sampled_from([20, 60, 100]))
def test_mutations_of_specs(text: str, data: st.DataObject, width: int) -> None:
    pieces = ["\n", " ", "  # note\n", "\n# note\n", "\n    # note\n", "(", ")", ",", "->", "x"]
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text)))
        text = text[:place] + data.draw(st.sampled_from(pieces)) + text[place + data.draw(st.integers(0, 1)) :]
    sink = Sink()
    parse(Source("spec.dl", text), sink)
    assume(not list(sink))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "WIDTH", width)
        patch.setattr(phrase, "WIDTH", width)
        laid_out(text)
