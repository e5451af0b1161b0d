"""What a field takes, by its annotation."""

import math
from typing import Annotated, Any, Literal

import pytest
from pydantic_core import ValidationError

from dlc.compiler.dim import Dim
from dlc.compiler.validation import Before, Bounds, Described, validator


def _halved(value: Any) -> Any:
    return value // 2 if isinstance(value, int) else value


SHARE = Annotated[float, Bounds(ge=0, lt=1)]
TAKES = [
    (bool, True),
    (int, 3),
    (float, 2.5),
    (float, 2),
    (str, "mean"),
    (Any, object()),
    (Literal["mean", "sum"], "sum"),
    (Dim, Dim.symbol("N")),
    (tuple[int, ...], ()),
    (tuple[int, ...], (1, 2, 3)),
    (tuple[float, str], (0.5, "x")),
    (int | None, None),
    (int | str, "x"),
    (SHARE, 0.0),
    (Annotated[int, Described("a count"), Bounds(gt=0)], 1),
    (Annotated[int, Bounds(gt=0, le=4)] | None, 4),
]
REFUSES = [
    (bool, 1),
    (int, True),
    (int, 3.0),
    (int, "3"),
    (float, math.inf),
    (float, math.nan),
    (str, 1),
    (Literal["mean", "sum"], "max"),
    (Dim, 3),
    (tuple[int, ...], [1]),
    (tuple[int, ...], (1, 2.0)),
    (tuple[float, str], (0.5,)),
    (tuple[float, str], (0.5, "x", "y")),
    (int | None, "none"),
    (int | str, 1.5),
    (SHARE, 1.0),
    (SHARE, -0.1),
    (Annotated[int, Described("a count"), Bounds(gt=0)], 0),
    (Annotated[int, Bounds(gt=0, le=4)] | None, 5),
]


@pytest.mark.parametrize(("annotation", "value"), TAKES)
def test_what_fits_is_given_back(annotation: Any, value: Any) -> None:
    assert validator(annotation).validate_python(value) == value


@pytest.mark.parametrize(("annotation", "value"), REFUSES)
def test_what_does_not_fit_is_refused(annotation: Any, value: Any) -> None:
    with pytest.raises(ValidationError):
        validator(annotation).validate_python(value)


def test_bounds_hold_for_what_a_value_is_turned_into() -> None:
    positive = validator(Annotated[int, Before(_halved), Bounds(gt=0)])
    assert positive.validate_python(2) == 1
    with pytest.raises(ValidationError):
        positive.validate_python(1)


@pytest.mark.parametrize("annotation", [list[int], dict[str, int], Annotated[int, "a remark"]])
def test_a_field_has_a_type_that_is_known(annotation: Any) -> None:
    with pytest.raises(TypeError):
        validator(annotation)
