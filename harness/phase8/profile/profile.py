"""A whole profile: its sections together, and what they must not say at once."""

from typing import Annotated

from pydantic import Field, model_validator

from phase8.core.values import Frozen
from phase8.profile.limits import Audit, Budgets, GateLimits, LatencyWork, Needs, Queries
from phase8.profile.sections import (
    Base,
    Corpus,
    FilesCorpus,
    Fuse,
    MinedCorpus,
    PocketBase,
    Prompting,
    ReadyAdapter,
    ReadyModel,
    Survival,
    Training,
)
from phase8.profile.terms import RESERVED, Role, VariantRoles


class Profile(Frozen):
    """Everything one run needs to know. See ``data/profiles/`` for the four that are shipped."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    description: str = ""
    needs: Needs = Needs()
    base: Base | None = None
    corpus: Corpus | None = None
    prompting: Prompting
    queries: Queries = Queries()
    training: Training | None = None
    adapter: ReadyAdapter | None = None
    fuse: Fuse | None = None
    survival: Survival | None = None
    models: tuple[ReadyModel, ...] = ()
    roles: VariantRoles = {}
    latency: LatencyWork = LatencyWork()
    audit: Audit = Audit()
    budgets: Budgets = Budgets()
    gate: GateLimits = GateLimits()

    @model_validator(mode="after")
    def _stages_fit(self) -> "Profile":
        if self.training and self.adapter:
            raise ValueError("[training] and [adapter] exclude each other: train an adapter or bring one")
        if (self.training or self.adapter or self.fuse) and not self.base:
            raise ValueError("[base] is missing: training, an adapter and fusing need one")
        if self.fuse and not (self.training or self.adapter):
            raise ValueError("[fuse] needs an adapter: add [training] or [adapter]")
        if self.training and not self.corpus:
            raise ValueError("[training] needs [corpus]")
        if self.survival and not (self.fuse and self.corpus):
            wanted = " and ".join(f"[{name}]" for name in ("fuse", "corpus") if not getattr(self, name))
            raise ValueError(f"[survival] compares fused models on held-out rows: add {wanted}, or take it out")
        if self.survival and self.fuse and (both := {*self.survival.control_widths} & {*self.fuse.widths}):
            named = ", ".join(map(str, sorted(both)))
            raise ValueError(f"survival.control_widths: {named} is in fuse.widths too; take it out here")
        if isinstance(self.corpus, FilesCorpus) and self.training and not (self.corpus.train and self.corpus.valid):
            raise ValueError("corpus.train and corpus.valid are needed for [training]")
        if isinstance(self.base, PocketBase) and not isinstance(self.corpus, MinedCorpus):
            raise ValueError("base.kind 'pocket' is trained on the mined corpus: set corpus.kind = 'mined'")
        names = self.variant_names()
        if not names:
            raise ValueError("nothing to judge: add [base], [adapter], [fuse] or [[models]]")
        if reserved := sorted(RESERVED & {model.name for model in self.models}):
            raise ValueError(f"models.name {', '.join(reserved)} is the name of a synthetic control; choose another")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"variant {', '.join(twice)} is named twice")
        mentioned = [*self.roles, *self.budgets.latency.seconds_per_query, *(self.audit.variants or ())]
        mentioned += self.budgets.memory.variants_gb if self.budgets.memory else []
        mentioned += self.gate.latency.variants or ()
        if self.budgets.latency.relative_to:
            mentioned.append(self.budgets.latency.relative_to)
        for name in mentioned:
            if name not in names:
                raise ValueError(f"unknown variant {name!r}; this profile has {', '.join(names)}")
        if twice := sorted(self.roles.keys() & {model.name for model in self.models}):
            raise ValueError(f"the role of {', '.join(twice)} is given in [[models]]: take it out of [roles]")
        return self

    def variant_names(self) -> list[str]:
        """The variants this profile judges, in the order of the flow."""
        names = []
        if self.base:
            names.append("base")
        if self.training or self.adapter:
            names.append("adapter")
        if self.fuse:
            names += ["fused-float"] if self.fuse.keep_float else []
            names += [f"fused-{bits}bit" for bits in sorted(self.fuse.widths, reverse=True)]
        return names + [model.name for model in self.models]

    def audited(self) -> list[str]:
        """The variants whose replies are audited, in the order of the flow."""
        named = self.audit.variants
        return [n for n in self.variant_names() if (self.role(n) == "production" if named is None else n in named)]

    def role(self, variant: str) -> Role:
        """The role of a variant; what a profile does not say is a candidate, except ready models."""
        ready = {model.name: model.role for model in self.models}
        return (self.roles | ready).get(variant, "candidate")
