"""How a run is divided among machines of one lane, and the key that its artefacts are cached by."""

import json

from phase8.core import machine
from phase8.core.artefact import digest
from phase8.core.values import Frozen
from phase8.profile.profile import Profile
from phase8.profile.terms import ADAPTER, Width
from phase8.stages.flow import Flow
from phase8.survival.stage import all_steps


class Shard(Frozen):
    """Variants that one job judges: one of its own, after the one that timings are compared with.

    ``bits`` is the width to fuse first, None where nothing is fused for it alone.
    """

    name: str
    variants: tuple[str, ...]
    bits: Width | None = None


def shards(profile: Profile) -> list[Shard]:
    """A shard for each variant; the first one builds what all others need: corpus, base and adapter.

    The variant that timings are compared with is in every shard, since seconds of two jobs cannot be compared.
    """
    shared = profile.budgets.latency.relative_to
    names = profile.variant_names()
    own = sorted([name for name in names if name != shared] or names, key=lambda name: name != ADAPTER)
    widths = {f"fused-{bits}bit": bits for bits in profile.fuse.widths} if profile.fuse else {}
    return [
        Shard(name=name, variants=tuple(dict.fromkeys([shared or name, name])), bits=widths.get(name)) for name in own
    ]


def cache_key(flow: Flow) -> str:
    """The hash of the keys of all artefacts that a run on this machine needs.

    Each key covers its inputs, versions and machine (``flow``), so the same hash means the same artefacts.
    """
    return digest(sorted(source.key for source in all_steps(flow)))[:16]


def outputs(flow: Flow) -> str:
    """``name=value`` lines, as a shell and ``$GITHUB_OUTPUT`` read them; shards are JSON, the first one apart."""
    first, *rest = (shard.model_dump(mode="json") for shard in shards(flow.profile))
    values = {
        "profile": flow.profile.name,
        "lane": machine.lane(flow.profile.name),
        "key": cache_key(flow),
        "first": json.dumps(first, separators=(",", ":")),
        "rest": json.dumps(rest, separators=(",", ":")),
    }
    return "\n".join(f"{name}={value}" for name, value in values.items())
