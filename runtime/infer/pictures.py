"""Images from files, and arrays of images as one picture, side by side."""

from __future__ import annotations

import math
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_GAP = 2
_LEAST = 64  # pixels that an image is wide or high at least, enlarged by a whole number
_CHANNELS = (1, 3)
IMAGES = (".png", ".jpg", ".jpeg")
_PIXELS = 2**26  # of one image: 8192 by 8192


def image_files(folder: Path) -> list[Path]:
    """The images of a folder in the order of their names. Raises ValueError where there is anything else in it."""
    files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    stray = next((file for file in files if file.suffix.lower() not in IMAGES), None)
    if stray is not None:
        raise ValueError(f"{stray.name} is no image, of which there are {', '.join(IMAGES)}")
    return files


def read_image(path: Path, channels: int) -> Array:
    """The pixels of an image from 0 to 1: float32[channels, height, width], grey of 1 channel, colour of 3.

    Raises OSError and ValueError.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=["PNG", "JPEG"]) as image:
            if image.width * image.height > _PIXELS:
                raise ValueError(f"{path.name} has more than {_PIXELS:,} pixels")
            pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"), np.float32) / 255
    except (UnidentifiedImageError, Image.DecompressionBombError, SyntaxError) as error:
        raise ValueError(str(error)) from error
    return np.ascontiguousarray(pixels[None] if channels == 1 else pixels.transpose(2, 0, 1))


def is_images(array: Array) -> bool:
    """Whether an array is images: float[n, 1 or 3, h, w]."""
    return array.ndim == 4 and array.shape[1] in _CHANNELS and array.dtype.kind == "f" and array.size > 0


def grid(images: Array) -> Array:
    """Images float[n, 1 or 3, h, w] in rows as long as there are rows: uint8[height, width] or uint8[height, width, 3].

    0 is black, 1 is full colour, what lies beyond is cut off. Small images are enlarged.
    """
    count, channels, height, width = images.shape
    scale = max(1, math.ceil(_LEAST / max(height, width)))
    pixels = np.nan_to_num(np.clip(images, 0, 1) * 255).round().astype(np.uint8)
    pixels = pixels.repeat(scale, axis=2).repeat(scale, axis=3).transpose(0, 2, 3, 1)
    columns = math.ceil(math.sqrt(count))
    down, across = height * scale + _GAP, width * scale + _GAP
    sheet = np.full((math.ceil(count / columns) * down - _GAP, columns * across - _GAP, channels), 255, np.uint8)
    for place, image in enumerate(pixels):
        top, left = place // columns * down, place % columns * across
        sheet[top : top + height * scale, left : left + width * scale] = image
    return sheet[:, :, 0] if channels == 1 else sheet


def picture(images: Array) -> bytes:
    """The bytes of a .png file with images float[n, 1 or 3, h, w], as `grid` lays them out."""
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(grid(images)).save(buffer, "PNG")
    return buffer.getvalue()
