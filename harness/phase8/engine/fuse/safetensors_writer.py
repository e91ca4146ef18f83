"""Writing the safetensors files of a model folder in pieces, each straight to its place."""

import json
import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, cast

import mlx.core as mx

from phase8.engine.fuse.recipe import Shape
from phase8.quant.layout import INDEX, Layout, Tensor, index, lay_out

if TYPE_CHECKING:
    from typing_extensions import Buffer

_DTYPES = {
    mx.bool_: "BOOL",
    mx.uint8: "U8",
    mx.uint16: "U16",
    mx.uint32: "U32",
    mx.uint64: "U64",
    mx.int8: "I8",
    mx.int16: "I16",
    mx.int32: "I32",
    mx.int64: "I64",
    mx.float16: "F16",
    mx.bfloat16: "BF16",
    mx.float32: "F32",
    mx.complex64: "C64",
}


def bytes_of_files(shapes: list[Shape]) -> int:
    """What the weight files of these tensors will take, their headers included."""
    return sum(lay_out(_tensors(shapes)).sizes.values())


def _tensors(shapes: list[Shape]) -> list[Tensor]:
    return [Tensor(name=s.name, dtype=_DTYPES[s.dtype], shape=s.shape, size=s.size) for s in shapes]


class Shards:
    """The weight files of one folder, open for writing; tensors may come in any order and in pieces.

    The index is written when all bytes are there, so a folder without one was interrupted.
    """

    def __init__(self, folder: Path, shapes: list[Shape], parameters: int) -> None:
        self._tensors = _tensors(shapes)
        self._layout: Layout = lay_out(self._tensors)
        self._folder, self._parameters = folder, parameters
        self._written = {tensor.name: 0 for tensor in self._tensors}
        self._files: dict[str, int] = {}

    def __enter__(self) -> "Shards":
        for name, header in self._layout.headers.items():
            self._files[name] = os.open(self._folder / name, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o644)
            _write(self._files[name], memoryview(header), 0)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for file in self._files.values():
            os.close(file)
        if error is None:
            self._finish()

    def put(self, name: str, offset: int, data: mx.array) -> None:
        """Write computed bytes, shape (N,) and uint8, ``offset`` bytes behind the beginning of a tensor."""
        place = self._layout.places[name]
        _write(self._files[place.shard], _bytes(data), place.offset + offset)
        self._written[name] += data.size

    def _finish(self) -> None:
        wrong = [t.name for t in self._tensors if self._written[t.name] != t.size]
        if wrong:
            raise RuntimeError(f"{self._folder}: {len(wrong)} tensors have another size than planned, first {wrong[0]}")
        written = index(self._layout, self._tensors, self._parameters)
        (self._folder / INDEX).write_text(json.dumps(written, indent=4), encoding="utf-8")


def _bytes(data: mx.array) -> memoryview:
    """The bytes of a computed array, not copied."""
    return memoryview(cast("Buffer", data))  # MLX's stub leaves the buffer protocol out


def _write(file: int, data: memoryview, offset: int) -> None:
    """All of ``data``: the system may take less at once."""
    while data:
        taken = os.pwrite(file, data, offset)
        data, offset = data[taken:], offset + taken
