"""Writes `operators.py`: what of the standard's schemas a model is written by. `python -m dlc.compiler.onnx.generate`.

Reading the schemas themselves means to import onnx, which takes longer than writing a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.compiler.onnx.elements import from_schema
from dlc.compiler.onnx.model import AttributeType
from dlc.compiler.onnx.opset import OPSET, SINCE
from dlc.compiler.onnx.results import Result, Signature

if TYPE_CHECKING:
    import onnx

_HEAD = '''"""The signatures of the standard's operators; `python -m dlc.compiler.onnx.generate` writes this.

A line has an operator, its results, and its attributes with their kinds. A result has the element type behind `=`, or
that of the first of these inputs that is there; or, behind `@`, what that attribute says.
"""

# ruff: noqa: E501

from __future__ import annotations

_TABLE = """
'''
_FOOT = '''"""

SCHEMAS = {kind: rest for kind, _, rest in (line.partition(" ") for line in _TABLE.strip("\\n").split("\\n"))}
'''


def table() -> str:
    """The module's text."""
    return _HEAD + "".join(f"{line}\n" for line in _lines()) + _FOOT


def _lines() -> Iterator[str]:
    import onnx

    kinds = sorted({schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""})
    for kind in kinds:
        try:
            schema = onnx.defs.get_schema(kind, SINCE.get(kind, OPSET))
        except onnx.defs.SchemaError:  # it is newer
            continue
        if not schema.deprecated:
            yield f"{kind} {_signature(schema)}".rstrip(" ")


def _signature(schema: onnx.defs.OpSchema) -> Signature:
    allowed = {each.type_param_str: list(each.allowed_type_strs) for each in schema.type_constraints}
    results = tuple(
        _result(schema, formal.type_str, allowed.get(formal.type_str)) if formal.is_homogeneous else Result()
        for formal in schema.outputs
    )
    attributes: Mapping[str, Any] = {**schema.attributes}  # whose kinds have no types
    kinds = {name: str(attribute.type.name) for name, attribute in sorted(attributes.items())}
    known = {name: AttributeType[kind] for name, kind in kinds.items() if kind in AttributeType.__members__}
    return Signature(results, known)


def _result(schema: onnx.defs.OpSchema, type: str, allowed: Sequence[str] | None) -> Result:
    if allowed is None or len(allowed) == 1:
        return Result(fixed=from_schema(type if allowed is None else allowed[0]))
    inputs = tuple(place for place, formal in enumerate(schema.inputs) if formal.type_str == type)
    attribute = next((name for name in ("to", "dtype") if name in schema.attributes), None)
    return Result(None, inputs, attribute)


if __name__ == "__main__":
    Path(__file__).with_name("operators.py").write_text(table(), encoding="utf-8")
