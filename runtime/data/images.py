"""`images(folder, height=…, width=…, channels=3)`: images in folders, one for each class."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.compiler.dim import Dim
from dlc.compiler.program import Schema
from dlc.compiler.types import DType, Tensor
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.data.room import Room
from dlc.runtime.data.source import DataSource, Table
from dlc.runtime.errors import BadImage, MissingData, MissingPackage, SourceArguments

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP", ".gif": "GIF", ".webp": "WEBP"}
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_PIXELS = 2**26  # of one image: 8192 by 8192
_BYTES = 2**22  # of images that are read at a time


@dataclass(frozen=True)
class Images(DataSource):
    """The columns `image`: int[channels, height, width] < 256, and `label`: int[], the place of its folder among all
    in the order of their names.

    Without a height and a width all images must have one size; with them they are scaled to it (bilinear, averaging
    where they shrink). channels: 1 for grey, 3 for red, green and blue, 4 with what is transparent.
    """

    path: str
    height: int = 0
    width: int = 0
    channels: int = 3

    @property
    def title(self) -> str:
        return self.path

    def schema(self) -> Schema:
        files, classes = self._files()
        height, width = self._size(files[0])
        image = Tensor(DType.INT, (Dim.of(self.channels), Dim.of(height), Dim.of(width)), Dim.of(256))
        return Schema({"image": image, "label": Tensor(DType.INT, (), Dim.of(classes))}, len(files))

    def load(self, columns: Collection[str], room: Room | None = None) -> Table:
        import numpy as np

        files, _ = self._files()
        arrays: dict[str, NDArray[Any]] = {}
        if "label" in columns:
            names = sorted({file.parent.name for file in files})
            arrays["label"] = np.array([names.index(file.parent.name) for file in files])
        if "image" in columns:
            height, width = self._size(files[0])
            shape = (self.channels, height, width)
            room = room or self.room()
            room.require(len(files) * math.prod(shape), self.path)
            made = room.column(np.uint8, shape)
            at_once = max(1, _BYTES // math.prod(shape))
            for start in range(0, len(files), at_once):
                made.extend(np.stack([self._pixels(file, height, width) for file in files[start : start + at_once]]))
            arrays["image"] = made.done()
        return Table(arrays, len(files), lambda index: self._named(files[index]))

    def _files(self) -> tuple[list[Path], int]:
        """All images, in the order of their names, and how many classes there are."""
        if self.channels not in _MODES:
            raise Refusal(SourceArguments(f"`channels` is 1, 3 or 4, and this is {self.channels}", self.span))
        if min(self.height, self.width) < 0 or (self.height == 0) != (self.width == 0):
            raise Refusal(SourceArguments("`height` and `width` are given together, each at least 1", self.span))
        folder = self.folder / self.path
        if not folder.is_dir():
            raise Refusal(MissingData(f"there is no folder {self.path}", self.span, notes=(f"looked for {folder}",)))
        try:
            classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
            files = [[file for file in sorted(own.iterdir()) if not file.name.startswith(".")] for own in classes]
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise Refusal(MissingData(f"{self.path} cannot be read: {reason}", self.span)) from error
        if not classes:
            help = "put the images of each class into a folder of its own"
            raise Refusal(BadImage(f"{self.path} has no folder for a class", self.span, help=help))
        for own, found in zip(classes, files, strict=True):
            if not found:
                raise Refusal(BadImage(f"{self._named(own)} has no images", self.span))
        every = [file for found in files for file in found]
        stray = next((file for file in every if file.suffix.lower() not in _FORMATS or not file.is_file()), None)
        for link in (entry for entry in (*classes, *every) if entry.is_symlink()):
            self.require_inside(link, self._named(link))
        if stray is not None:
            message = f"{self._named(stray)} is none of the images that are read: {', '.join(_FORMATS)}"
            raise Refusal(BadImage(message, self.span))
        return every, len(classes)

    def _size(self, first: Path) -> tuple[int, int]:
        """The height and the width that all images have."""
        if self.height:
            return self.height, self.width
        with self._opened(first) as image:
            return image.height, image.width

    def _pixels(self, file: Path, height: int, width: int) -> NDArray[np.uint8]:
        """uint8[channels, height, width]"""
        import numpy as np

        pillow: Any = self._pillow()
        with self._opened(file) as image:
            if not self.height and (image.height, image.width) != (height, width):
                raise Refusal(
                    BadImage(
                        f"{self._named(file)} is {image.width} pixels wide and {image.height} high, "
                        f"and the first image {width} and {height}",
                        self.span,
                        help=f"scale them all: height={height}, width={width}",
                    )
                )
            try:
                pixels = image.convert(_MODES[self.channels])
                if self.height:
                    pixels = pixels.resize((width, height), pillow.Resampling.BILINEAR)
            except (OSError, SyntaxError, ValueError) as error:
                raise self._broken(file, error) from error
        array = np.asarray(pixels, np.uint8)
        return array[None] if self.channels == 1 else array.transpose(2, 0, 1)

    def _opened(self, file: Path) -> Any:
        """The image, its header read and its pixels not yet."""
        pillow: Any = self._pillow()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", pillow.DecompressionBombWarning)  # the bound here is lower
                image = pillow.open(file, formats=sorted(set(_FORMATS.values())))
        except pillow.DecompressionBombError as error:
            raise self._broken(file, error) from error
        except (OSError, SyntaxError, ValueError) as error:
            raise self._broken(file, error) from error
        if image.width * image.height > _PIXELS:
            image.close()
            raise Refusal(BadImage(f"{self._named(file)} has more than {_PIXELS:,} pixels", self.span))
        return image

    def _broken(self, file: Path, error: Exception) -> Refusal:
        return Refusal(BadImage(f"{self._named(file)} cannot be read", self.span, notes=(str(error),)))

    def _named(self, file: Path) -> str:
        return file.relative_to(self.folder).as_posix()

    def _pillow(self) -> Any:
        try:
            return import_module("PIL.Image")
        except ImportError as error:
            message = f"{self.path} needs Pillow, which is not installed"
            raise Refusal(MissingPackage(message, self.span, help='pip install "dlc[data]"')) from error
