"""Arrays as commands print and store them."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


def packed(results: Mapping[str, Array], output: str) -> bytes:
    """Arrays as the bytes of an .npz file, or a single one as those of an .npy file, as `output` ends. UsageError."""
    import numpy as np

    buffer = BytesIO()
    if output.endswith(".npz"):
        np.savez(buffer, allow_pickle=False, **results)
    elif len(results) == 1:
        np.save(buffer, next(iter(results.values())), allow_pickle=False)
    else:
        raise click.UsageError(f"{output}: a .npy file holds one array, and there are {len(results)}: name an .npz")
    return buffer.getvalue()


def plain(array: Array) -> Any:
    """Nested lists of numbers; what is not finite has no number in JSON and becomes a string."""
    import numpy as np

    if array.dtype.kind != "f" or np.isfinite(array).all():
        return array.tolist()
    return np.where(np.isfinite(array), array.astype(object), array.astype(str)).tolist()


def shown(name: str, array: Array) -> str:
    """An output's type, and its values, those in the middle left out where there are many."""
    import numpy as np

    shape = ", ".join(map(str, array.shape))
    values = np.array2string(array, precision=6, suppress_small=True, threshold=200, max_line_width=116)
    return f"{name}: {array.dtype}[{shape}]\n{values}"
