"""What can be wrong with the text of a spec: a class for each code, `DL1…`."""

from __future__ import annotations

from dlc.grammar.diagnostics import Diagnostic

MAX_CHARACTERS = 1_000_000
MAX_BRACKETS = 100
MAX_DEPTH = 200
MAX_INDENTATION = 50
MAX_DIGITS = 100
MAX_MISTAKES = 100


class UnexpectedToken(Diagnostic):
    """Something stands where the grammar asks for something else.

    The message says what was found and what could stand there instead. Often the mistake is a little earlier: a
    missing comma, operator or bracket.
    """

    code = "DL1001"
    example = "let width = 32 64\n"


class MissingColon(Diagnostic):
    """A line that opens an indented body ends with a colon: `block`, `model`, `data`, `train`, `for`, `loop`, `if`,
    `elif`, `else`, `settings`, `augment`, `step` and the other procedures.
    """

    code = "DL1002"
    example = "block Double(x: float[N, d]) -> float[N, d]\n    return 2 * x\n"


class UnclosedBracket(Diagnostic):
    """A bracket is opened and never closed, so that everything behind it seems to belong inside."""

    code = "DL1003"
    example = "let sizes = [1, 2, 3\nlet width = 32\n"


class StrayBracket(Diagnostic):
    """A closing bracket that was never opened, or one that closes a bracket of the other kind."""

    code = "DL1004"
    example = "let sizes = [1, 2, 3)\n"


class UnterminatedString(Diagnostic):
    """A string ends on the line that it starts on, with the same double quote. For a line break within it write `\\n`,
    for a quote `\\"`.
    """

    code = "DL1005"
    example = 'let name = "digits\n'


class UnknownEscape(Diagnostic):
    """In a string, a backslash starts one of `\\n` (line break), `\\t` (tab), `\\"`, `\\\\` and `\\uXXXX` (a character
    by its number in four hexadecimal digits, a surrogate not being one). Everything else stands for itself without a
    backslash.
    """

    code = "DL1006"
    example = 'let pattern = "a\\d"\n'


class StrayCharacter(Diagnostic):
    """A character that means nothing in DL outside of strings and comments. Some look like one that does: a curly
    quote, a dash that is not a minus, a space that is not a space.
    """

    code = "DL1007"
    example = "let width = 32;\n"


class MalformedNumber(Diagnostic):
    """A number is written in decimal digits, which `_` may group, with an optional fraction and exponent: `32`,
    `10_000`, `0.5`, `3e-4`. A whole number is exact and has at most 100 digits; a float must fit 64 bits.
    """

    code = "DL1008"
    example = "let rate = 1e999\n"


class MixedIndentation(Diagnostic):
    """The lines of a body are indented by the same characters. Where one uses tabs and another spaces, how deep each
    stands depends on the editor, so neither is guessed at.
    """

    code = "DL1009"
    example = "block Double(x: float[N, d]):\n    y = 2 * x\n\treturn y\n"


class InconsistentDedent(Diagnostic):
    """A line that ends a body returns to the exact depth of a line above that is still open."""

    code = "DL1010"
    example = "block Double(x: float[N, d]):\n        y = 2 * x\n    return y\n"


class UnexpectedIndent(Diagnostic):
    """A line is indented deeper than the one before, which opens no body. An expression goes on over several lines
    inside brackets, or where the next line starts with `->`.
    """

    code = "DL1011"
    example = "let width = 32\n    let depth = 4\n"


class MissingBody(Diagnostic):
    """A line that ends with a colon opens a body: at least one line, indented deeper, each statement on its own."""

    code = "DL1012"
    example = "block Same(x: float[N, d]):\nlet width = 32\n"


class ChainedComparison(Diagnostic):
    """Comparisons do not chain: `a < b < c` could be read in two ways, so it is written `a < b and b < c`."""

    code = "DL1013"
    example = "let fits = 1 < 2 < 3\n"


class MisplacedEqual(Diagnostic):
    """`=` binds a name or names an argument, `==` compares, and `:=` assigns to a weight."""

    code = "DL1014"
    example = "block Check(x: float[N, d]):\n    if d = 3:\n        return x\n    return 2 * x\n"


class ReservedWord(Diagnostic):
    """The words `and elif else false for if in none not or return true` cannot name anything, since they stand where a
    name may. All other words of the language can.
    """

    code = "DL1015"
    example = "let in = 32\n"


class UnknownStatement(Diagnostic):
    """A line starts with a word that starts nothing here. At the left margin stand declarations (`language`, `from`,
    `let`, `block`, `model`, `data`, `train`), in a body statements.
    """

    code = "DL1016"
    example = "blok Double(x: float[N, d]):\n    return 2 * x\n"


class UnusedValue(Diagnostic):
    """A line computes a value and does nothing with it. An operation has no effect besides its result, so the line
    would be without any: bind the result to a name, or return it.
    """

    code = "DL1017"
    example = "block Same(x: float[N, d]):\n    relu(x)\n    return x\n"


class FileTooLong(Diagnostic):
    """A spec has at most 1,000,000 characters. A longer one is most likely not a spec: data belongs in files of its
    own, which a `data` block names.
    """

    code = "DL1018"
    example = "# filler\n" * (MAX_CHARACTERS // 9 + 1)


class BracketsTooDeep(Diagnostic):
    """Brackets nest at most 100 deep. Name the inner parts."""

    code = "DL1019"
    example = "let x = " + "(" * (MAX_BRACKETS + 1) + "1" + ")" * (MAX_BRACKETS + 1) + "\n"


class ExpressionTooDeep(Diagnostic):
    """An expression nests at most 200 deep, each operator of a chain such as `a + b + c` counting once. Name the inner
    parts. A pipe does not nest, however long it is.
    """

    code = "DL1020"
    example = "let x = " + "1 + " * (MAX_DEPTH + 1) + "1\n"


class IndentationTooDeep(Diagnostic):
    """Bodies nest at most 50 deep. Move the inner ones to a block of their own."""

    code = "DL1021"
    example = (
        "block Deep(x: float[N]):\n"
        + "".join(" " * d + "if true:\n" for d in range(1, MAX_INDENTATION + 1))
        + (" " * (MAX_INDENTATION + 1) + "return x\n")
    )


class LanguageVersion(Diagnostic):
    """`language 1` may stand first in a file and pins the meaning of all that follows. 1 is the only version so far."""

    code = "DL1022"
    example = "language 2\n"


class TooManyMistakes(Diagnostic):
    """After 100 mistakes the rest of a file is not read: it is more likely that the file is not a spec than that the
    next report helps.
    """

    code = "DL1023"
    example = "let = 1\n" * (MAX_MISTAKES + 1)
