"""Arrays of images as one picture, side by side."""

from __future__ import annotations

import math
from io import BytesIO
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_GAP = 2
_LEAST = 64  # pixels that an image is wide or high at least, enlarged by a whole number
_CHANNELS = (1, 3)


def is_images(array: Array) -> bool:
    """Whether an array is images: float[n, 1 or 3, h, w]."""
    return array.ndim == 4 and array.shape[1] in _CHANNELS and array.dtype.kind == "f" and array.size > 0


def picture(images: Array) -> bytes:
    """The bytes of a .png file with images float[n, 1 or 3, h, w] in rows as long as there are rows; 0 is black, 1 is
    full colour, what lies beyond is cut off. Small images are enlarged."""
    from PIL import Image

    count, channels, height, width = images.shape
    scale = max(1, math.ceil(_LEAST / max(height, width)))
    pixels = np.nan_to_num(np.clip(images, 0, 1) * 255).round().astype(np.uint8)
    pixels = pixels.repeat(scale, axis=2).repeat(scale, axis=3).transpose(0, 2, 3, 1)
    columns = math.ceil(math.sqrt(count))
    down, across = height * scale + _GAP, width * scale + _GAP
    grid = np.full((math.ceil(count / columns) * down - _GAP, columns * across - _GAP, channels), 255, np.uint8)
    for place, image in enumerate(pixels):
        top, left = place // columns * down, place % columns * across
        grid[top : top + height * scale, left : left + width * scale] = image
    buffer = BytesIO()
    Image.fromarray(grid[:, :, 0] if channels == 1 else grid).save(buffer, "PNG")
    return buffer.getvalue()
