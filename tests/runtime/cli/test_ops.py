import json

from click.testing import CliRunner

from dlc.compiler.op import operations
from dlc.runtime.cli.group import commands


def invoke(*arguments: str):
    return CliRunner().invoke(commands, ["ops", *arguments])


def test_the_list_names_every_operation_that_can_be_called() -> None:
    result = invoke()
    assert result.exit_code == 0
    listed = {line.split()[0] for line in result.stdout.splitlines() if line.startswith("  ")}
    assert listed == {name for name, op in operations().items() if not op.hidden}


def test_every_operation_has_a_page() -> None:
    for name, op in operations().items():
        if not op.hidden:
            result = invoke(name)
            assert result.exit_code == 0
            assert result.stdout.startswith(f"{name}(")
            assert result.stdout.count(" gives ") >= len(op.examples)
            assert "value" not in {line.split()[-1] for line in result.stdout.splitlines() if line.startswith("  ")}


def test_a_page_tells_parameters_and_examples() -> None:
    page = invoke("leaky_relu").stdout
    assert page.startswith("leaky_relu(x, slope=0.01)\n\nx where it is positive")
    assert "  x      a tensor\n" in page
    assert "  slope  float\n" in page
    assert "  leaky_relu(x: float[N, T], slope=0.2) gives float[N, T]\n" in page


def test_json_holds_the_same() -> None:
    (document,) = json.loads(invoke("gelu", "--json").stdout)
    assert document["signature"] == "gelu(x, approximate=false)"
    assert document["parameters"][1] == {"name": "approximate", "kind": "true or false"}
    assert document["onnx"] is True
    assert len(json.loads(invoke("--json").stdout)) == sum(not op.hidden for op in operations().values())


def test_an_unknown_operation_gets_the_nearest() -> None:
    result = invoke("rellu")
    assert result.exit_code == 2
    assert "there is no operation `rellu`; did you mean `relu`?" in result.stderr
