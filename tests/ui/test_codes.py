"""Each kind of diagnostic has its explanation, an example that triggers it, and a case among the reports."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from dlc.grammar.diagnostics import Diagnostic, kinds
from dlc.grammar.parse import parse
from dlc.grammar.source import Source
from dlc.runtime.spec import read_spec

HERE = Path(__file__).parent
TESTS = HERE.parent
for module in ("grammar", "compiler", "compiler.onnx", "compiler.torch", "runtime", "runtime.infer", "runtime.mapping"):
    import_module(f"dlc.{module}.errors")
# Those of `dlc`: other tests may have kinds of their own.
KINDS = {code: kind for code, kind in kinds().items() if kind.__module__.startswith("dlc.")}
# What `read_spec` can tell without data, a run or an exported model.
OF_A_SPEC = [code for code in KINDS if code < "DL60" or code.startswith("DL65")]

# Codes without a case here, and the test that brings them about.
ELSEWHERE = {
    "DL1018": "ui/test_codes.py",  # FileTooLong: a megabyte
    "DL6008": "runtime/data/test_npz.py",  # a file of arrays, which is no text
    "DL6015": "runtime/data/test_files.py",
    "DL7004": "runtime/infer/test_verify.py",  # a fault of the compiler
    "DL7005": "runtime/infer/test_verify.py",
    "DL7008": "runtime/test_lowering.py",
    "DL7009": "runtime/test_lowering.py",
    "DL7010": "compiler/onnx/test_precisions.py",
    "DL8011": "runtime/train/test_trainer.py",  # told in PyTorch's words
    "DL8016": "runtime/train/test_trainer.py",
    "DL8019": "runtime/train/several/test_launch.py",  # several processes
    "DL8020": "runtime/train/test_rehearsal.py",  # a training that is not deterministic
    "DL8021": "runtime/cli/test_fit.py",
    "DL8022": "runtime/cli/test_migrate.py",
    "DL8023": "runtime/train/several/test_launch.py",
    "DL8024": "runtime/train/several/test_launch.py",
    "DL8025": "runtime/train/several/test_shards.py",
    "DL8102": "runtime/infer/test_hostile.py",
    "DL8103": "runtime/infer/test_external.py",
    "DL8110": "runtime/infer/test_session.py",
    "DL8111": "runtime/infer/test_hostile.py",
    "DL8112": "runtime/infer/test_hostile.py",
    "DL8113": "runtime/infer/test_session.py",
}


def codes_in(example: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(folder)
    Path("spec.dl").write_text(example)
    given = re.search(r"--set (\w+)=(\w+)", example)
    _, sink = read_spec("spec.dl", {given[1]: given[2]} if given else {})
    return [diagnostic.code for diagnostic in sink]


@pytest.mark.parametrize("code", sorted(set(OF_A_SPEC) - {"DL1018", "DL1023"}))
def test_example_gives_its_diagnostic_and_no_other(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert codes_in(KINDS[code].example, tmp_path, monkeypatch) == [code]


def test_example_of_a_file_that_is_too_long() -> None:
    from dlc.grammar.diagnostics import Sink

    sink = Sink()
    parse(Source("filler.dl", KINDS["DL1018"].example), sink)
    assert [type(diagnostic).__name__ for diagnostic in sink] == ["FileTooLong"]


def test_example_of_too_many_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    *mistakes, last = codes_in(KINDS["DL1023"].example, tmp_path, monkeypatch)
    assert last == "DL1023"
    assert len(mistakes) == 100


@pytest.mark.parametrize("code", KINDS)
def test_explanation_is_prose(code: str) -> None:
    explanation = (KINDS[code].__doc__ or "").strip()
    assert len(explanation.split()) > 5
    assert explanation.endswith((".", "`"))


def test_codes_have_cases() -> None:
    reported = {
        code for report in HERE.glob("*/*.out") for code in re.findall(r"^error\[(DL\d{4})\]", report.read_text(), re.M)
    }
    assert sorted(set(KINDS) - reported - set(ELSEWHERE)) == []
    assert sorted(set(ELSEWHERE) & reported) == []


@pytest.mark.parametrize("code", ELSEWHERE)
def test_codes_without_cases_have_tests(code: str) -> None:
    kind: type[Diagnostic] = KINDS[code]
    text = (TESTS / ELSEWHERE[code]).read_text()
    assert kind.__name__ in text or code in text
