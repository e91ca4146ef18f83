"""Regressions of the weights: another adapter or none, another width, parts of the model damaged."""

from collections.abc import Callable

from phase8.proofs.power.plant import QUALITY, Plant, says
from phase8.proofs.power.site import Site


def _dropped(site: Site) -> None:
    site.fuse(site.materials.nothing)


def _scaled(factor: float) -> Callable[[Site], None]:
    def change(site: Site) -> None:
        from phase8.engine.faults import scale_adapter

        scale_adapter(site.materials.adapter, factor, scaled := site.fresh("scaled"))
        site.fuse(scaled)

    return change


def _fused(bits: int = 5, group_size: int = 64) -> Callable[[Site], None]:
    return lambda site: site.fuse(site.materials.adapter, bits, group_size)


def _expert(layer: int) -> Callable[[Site], None]:
    def change(site: Site) -> None:
        from phase8.engine.faults import busiest_expert, zero_expert

        zero_expert(site.model, layer, busiest_expert(site.model, layer, site.held_out_texts()))

    return change


def _router(site: Site) -> None:
    from phase8.engine.faults import permute_router

    permute_router(site.model, 1)


WEIGHTS = (
    Plant("adapter-dropped", "the base quantised alike, without its adapter", _dropped, says(*QUALITY)),
    Plant("adapter-half", "the adapter's scale x 0.5", _scaled(0.5), says(*QUALITY)),
    Plant("adapter-twentieth", "the adapter's scale lost: 1 for 20", _scaled(0.05), says(*QUALITY)),
    Plant("adapter-double", "the adapter added twice", _scaled(2.0), says(*QUALITY)),
    Plant(
        "adapter-other-seed",
        "an adapter of the same training from another seed",
        lambda site: site.fuse(site.materials.other_seed),
        says(*QUALITY),
    ),
    Plant("width-3", "fused at 3 bits instead of 5", _fused(bits=3), says(*QUALITY)),
    Plant("width-4", "fused at 4 bits instead of 5", _fused(bits=4), says(*QUALITY)),
    Plant("width-8", "fused at 8 bits instead of 5", _fused(bits=8), says("size")),
    Plant("group-32", "fused with groups of 32 instead of 64", _fused(group_size=32), says("size")),
    Plant("expert-zeroed-first", "the busiest of 8 experts of the first layer zeroed", _expert(0), says(*QUALITY)),
    Plant(
        "expert-zeroed-last", "the busiest of 8 experts of the last layer zeroed", _expert(3), says(*QUALITY, "drift")
    ),
    Plant("router-permuted", "the router's rows of one layer moved on by one", _router, says(*QUALITY, "drift")),
)
