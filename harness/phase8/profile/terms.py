"""The words that a profile's values are made of: widths, roles, formats, names of variants."""

from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field

WIDTHS = (2, 3, 4, 5, 6, 8)
RECIPES: tuple["Recipe", ...] = ("mlx-lm", "preserve")
Width = Literal[2, 3, 4, 5, 6, 8]
GroupSize = Literal[32, 64, 128]
Recipe = Literal["mlx-lm", "preserve"]
Role = Literal["production", "candidate", "control"]
Format = Literal["fenced", "hermes", "qwen3-coder"]
Quantity = Literal["load_s", "ttft_cold_s", "ttft_warm_s", "query_s", "prefill_s", "token_s"]
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)
ChanceGate = Literal["decode ratio", "accuracy vs adapter", "recovery"]
Share = Annotated[float, Field(ge=0, le=1)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]  # an infinite limit would pass everything

ADAPTER = "adapter"  # the variant: the base with the live adapter
RESERVED = frozenset({"always-call", "always-direct"})
VARIANT_ALIASES = {"fused-f16": "fused-float"}


def canonical_name(variant: str) -> str:
    """The name of a variant with aliases resolved."""
    return VARIANT_ALIASES.get(variant, variant)


def _canonical_keys(table: dict[str, Any]) -> dict[str, Any]:
    return {canonical_name(name): value for name, value in table.items()}


VariantName = Annotated[str, AfterValidator(canonical_name)]
VariantRoles = Annotated[dict[str, Role], AfterValidator(_canonical_keys)]
VariantLimits = Annotated[dict[str, PositiveFloat], AfterValidator(_canonical_keys)]
