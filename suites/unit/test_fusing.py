"""Fused folders on paper: targets, shards, offsets."""

import json
from types import SimpleNamespace

import pytest

from phase8.core.errors import InvalidInput
from phase8.quant.layout import Tensor, index, lay_out, target


def tensors(*sizes: int) -> list[Tensor]:
    """Tensors of bytes."""
    return [Tensor(name=f"t{i}.weight", dtype="U8", shape=(size,), size=size) for i, size in enumerate(sizes)]


def test_a_target_that_is_not_written_is_refused_by_name(subtests: pytest.Subtests) -> None:
    """Before anything is read."""
    for wanted, message in [
        ((7, 64, "preserve"), "width 7 is not written. Affine codes are, with width 2, 3, 4, 5, 6, 8, float"),
        (("mxfp4", 32, "preserve"), "width 'mxfp4' is not written"),
        ((4, 16, "preserve"), "group size 16 is not written. Affine codes are, with group size 32, 64, 128"),
        ((4, 64, "awq"), "recipe 'awq' is not written"),
    ]:
        with subtests.test(wanted=wanted, message=message), pytest.raises(InvalidInput, match=message):
            target(*wanted)


def test_shards_begin_where_those_of_mlx_lm_do() -> None:
    """In order, none over the limit but a single tensor that is larger."""
    from mlx_lm.utils import make_shards

    gigabyte = 1 << 30
    sizes = (gigabyte // 2, gigabyte // 2, 1, 3 * gigabyte, 5, gigabyte - 5, 7)
    expected = make_shards({f"t{i}.weight": SimpleNamespace(nbytes=size) for i, size in enumerate(sizes)}, 1)
    found = lay_out(tensors(*sizes), gigabyte)
    names = [f"model-{i + 1:05d}-of-{len(expected):05d}.safetensors" for i in range(len(expected))]
    assert list(found.headers) == names
    assert [[n for n, place in found.places.items() if place.shard == name] for name in names] == [
        list(shard) for shard in expected
    ]


def test_offsets_are_those_of_the_header() -> None:
    """Data begins at a multiple of 8 behind the header; every tensor follows the one before."""
    found = lay_out(tensors(3, 0, 12))
    (name,) = found.headers
    length = int.from_bytes(found.headers[name][:8], "little")
    assert len(found.headers[name]) == 8 + length
    assert length % 8 == 0
    header = json.loads(found.headers[name][8:])
    for tensor in tensors(3, 0, 12):
        begin, end = header[tensor.name]["data_offsets"]
        assert found.places[tensor.name].offset == 8 + length + begin
        assert end - begin == tensor.size
    assert found.sizes[name] == 8 + length + 15


def test_the_index_names_every_tensor_in_order() -> None:
    """With the bytes and the parameters of the whole."""
    held = tensors(6, 5)
    found = index(lay_out(held, 8), held, 99)
    assert found["metadata"] == {"total_size": 11, "total_parameters": 99}
    assert found["weight_map"] == {
        "t0.weight": "model-00001-of-00002.safetensors",
        "t1.weight": "model-00002-of-00002.safetensors",
    }
