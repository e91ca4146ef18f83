"""What a quantiser may make of weights between two ends: everything that it does make, ties either way, and no more."""

from typing import Any

import pytest

from phase8.core.lazy_imports import np

WAYS = [(32, 3, "affine"), (64, 4, "affine"), (32, 5, "affine"), (64, 8, "affine")]
MODES = [(32, 4, "mxfp4"), (32, 8, "mxfp8"), (16, 4, "nvfp4")]
DTYPES = ["float32", "float16", "bfloat16"]


def weights(dtype: str, size: int) -> Any:
    """Usual rows, rows over twelve powers of ten, rows of one sign, constant rows and zeros."""
    import mlx.core as mx

    rng = np.random.default_rng(5)
    usual = rng.normal(size=(200, size)) * 0.03
    spread = rng.normal(size=(40, size)) * 10.0 ** rng.uniform(-9, 3, (40, 1))
    constant = np.broadcast_to(np.array([[0.0], [0.02], [-0.02], [1.0]]), (4, size))
    rows = np.concatenate([usual, spread, -np.abs(usual[:20]), np.abs(spread), constant])
    return mx.array(rows.astype(np.float32)).astype(getattr(mx, dtype))


def number(count: Any) -> int:
    """A count that MLX holds."""
    return int(np.array(count))


def judged(low: Any, high: Any, found: Any, way: Any) -> tuple[int, int]:
    """How many codes and scales are outside."""
    import mlx.core as mx

    from phase8.engine.fuse.quantisers import outside

    off = outside(low, high, found, way)
    return number(mx.sum(off.codes)), number(mx.sum(off.scales))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("way", [*WAYS, *MODES], ids=str)
def test_what_any_device_gives_for_weights_between_the_ends_is_inside(dtype: str, way: Any) -> None:
    """Of known weights and of weights that are known to within some units, tied to even or away from zero."""
    import mlx.core as mx

    from phase8.engine.fuse.quantisers import quantised
    from phase8.engine.fuse.recipe import Way

    way, middle = Way(*way), weights(dtype, 128)
    apart = mx.abs(middle) * mx.array(2.0**-6, middle.dtype)
    low, high = middle - apart, middle + apart
    for gpu in (False, True):
        assert judged(middle, middle, quantised(middle, way, gpu=gpu), way) == (0, 0)
        for seed in range(3):
            share = mx.random.uniform(shape=middle.shape, key=mx.random.key(seed)).astype(middle.dtype)
            inside = mx.clip(low + share * (high - low), low, high)
            assert judged(low, high, quantised(inside, way, gpu=gpu), way) == (0, 0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("way", [*WAYS, *MODES], ids=str)
def test_a_neighbouring_code_and_a_scale_that_is_off_are_outside(dtype: str, way: Any) -> None:
    """Of weights that are known, but for exact ties; the codes beside them stay inside."""
    import mlx.core as mx

    from phase8.engine.fuse.quantisers import outside, quantised
    from phase8.engine.fuse.recipe import Way
    from phase8.engine.integrity.quantised import Encoded

    way = Way(*way)
    middle = weights(dtype, 128)[:200]
    found = quantised(middle, way, gpu=False)
    other = mx.where(found.ordinals > 1, found.ordinals - 1, found.ordinals + 1)
    flipped = mx.random.uniform(shape=other.shape, key=mx.random.key(1)) < 0.05
    one = Encoded(found.tensors, mx.where(flipped, other, found.ordinals), found.values, found.step)
    off = outside(middle, middle, one, way).codes
    assert number(mx.sum(off & flipped)) > 0.95 * number(mx.sum(flipped))
    assert not mx.any(off & ~flipped).item()
    scales = found.tensors[1]
    kind = {1: mx.uint8, 2: mx.uint16, 4: mx.uint32}[scales.itemsize]
    moved = (scales.view(kind) + mx.array(2 if scales.itemsize == 1 else 16, kind)).view(scales.dtype)
    one = Encoded((found.tensors[0], moved, *found.tensors[2:]), found.ordinals, found.values, found.step)
    assert float(np.array(mx.mean(outside(middle, middle, one, way).scales))) > 0.95


@pytest.mark.parametrize(
    ("lowest", "scales"),
    [(1 - 15 / 8.5, [1 / 9, 1 / 8]), (-1.0, [1 / 8, 1 / 8])],
    ids=["edge / step is 8.5", "both ends are as large"],
)
def test_a_zero_point_or_an_edge_at_a_tie_may_fall_to_either_side(lowest: float, scales: list[float]) -> None:
    """Then the scale is another by a part in eight, or the codes count from the other end; a third side is outside."""
    import mlx.core as mx

    from phase8.engine.fuse.quantisers import quantised
    from phase8.engine.fuse.recipe import Way

    way = Way(32, 4, "affine")
    groups = []
    for end in (lowest - 1e-5, lowest + 1e-5, -0.5):
        group = np.linspace(lowest, 1.0, 32, dtype=np.float32)[None]
        group[0, 0] = end
        groups.append(np.maximum(group, end))
    low, high = mx.array(np.minimum(*groups[:2])), mx.array(np.maximum(*groups[:2]))
    found = [quantised(mx.array(group), way, gpu=False) for group in groups]
    assert sorted(abs(one.tensors[1].item()) for one in found[:2]) == pytest.approx(scales, rel=1e-4)
    assert found[0].tensors[1].item() != found[1].tensors[1].item()
    for one in found[:2]:
        assert judged(low, high, one, way) == (0, 0)
    assert judged(low, high, found[2], way)[1] == 1


@pytest.mark.parametrize("mode", ["mxfp4", "mxfp8"])
def test_a_shared_exponent_at_a_power_of_two_may_be_either(mode: str) -> None:
    """The largest weight is at the largest code's, or just above: then the scale doubles; far above it must."""
    import mlx.core as mx

    from phase8.engine.fuse.quantisers import quantised
    from phase8.engine.fuse.recipe import Way

    bits, largest = (4, 6.0) if mode == "mxfp4" else (8, 448.0)
    way, group = Way(32, bits, mode), np.linspace(-1, 1, 32, dtype=np.float32)[None]
    below, above = group * largest * (1 - 1e-5), group * largest * (1 + 1e-5)
    low, high = mx.array(np.minimum(below, above)), mx.array(np.maximum(below, above))
    found = [quantised(mx.array(one), way, gpu=False) for one in (below, above)]
    assert found[1].tensors[1].item() == found[0].tensors[1].item() + 1
    for one in found:
        assert judged(low, high, one, way) == (0, 0)
    assert judged(mx.array(above * 1.1), mx.array(above * 1.1), found[0], way)[1] == 1


def test_a_group_below_zero_may_have_the_largest_weight_of_a_gpu() -> None:
    """Metal and CUDA begin with zero, a CPU with the weights; a scale between both is outside."""
    import mlx.core as mx

    from phase8.engine.fuse.quantisers import quantised
    from phase8.engine.fuse.recipe import Way
    from phase8.engine.integrity.quantised import Encoded

    way = Way(32, 4, "affine")
    group = mx.array(np.linspace(-1.0, -0.6, 32, dtype=np.float32)[None])
    cpu, gpu = (quantised(group, way, gpu=gpu) for gpu in (False, True))
    assert cpu.tensors[1].item() != gpu.tensors[1].item()
    for one in (cpu, gpu):
        assert judged(group, group, one, way) == (0, 0)
    between = Encoded((gpu.tensors[0], mx.array([[1 / 20]]), gpu.tensors[2]), gpu.ordinals, gpu.values, gpu.step)
    assert judged(group, group, between, way)[1] == 1


def test_values_that_are_no_numbers_are_outside() -> None:
    """As floats, scales and biases."""
    import mlx.core as mx

    from phase8.engine.fuse.quantisers import quantised
    from phase8.engine.fuse.recipe import Way
    from phase8.engine.integrity.quantised import Encoded, read

    way, middle = Way(32, 4, "affine"), weights("float16", 32)[:8]
    found = quantised(middle, way, gpu=False)
    for number in (1, 2):
        tensors = list(found.tensors)
        tensors[number] = mx.full(tensors[number].shape, mx.nan, tensors[number].dtype)
        assert judged(middle, middle, Encoded(tuple(tensors), found.ordinals, found.values, found.step), way)[1] == 8
    assert judged(middle, middle, read((mx.full(middle.shape, mx.nan),), None), None)[0] == middle.size
