"""The record of a run: what ``run.json`` holds. Values only; nothing here computes or reads."""

from typing import Literal

from phase8.chat.formats import Call
from phase8.core.interval import Interval
from phase8.core.values import Frozen
from phase8.profile.terms import Role
from phase8.record.audit import AuditRecord, Parting
from phase8.record.ladder import LadderRecord

SCHEMA_VERSION = 1

Label = Literal["tool", "direct"]
Suite = Literal["canonical", "held-out", "probe"]
Decision = Literal["call", "answer", "malformed", "empty"]
Finish = Literal["stop", "length"]
Status = Literal["pass", "fail", "xfail", "xpass", "inconclusive", "new", "info", "not applicable", "missing"]
Production = Literal["pass", "fail", "inconclusive", "missing"]


class Environment(Frozen):
    """The machine and the software that a run was measured with."""

    system: str
    machine: str
    chip: str
    cores: int
    memory_gb: float
    disk_free_gb: float
    python: str
    device: str
    blas: str
    compute_dtype: str
    versions: dict[str, str]
    commit: str | None
    dirty: bool | None


class Reply(Frozen):
    """One reply of one variant to one case.

    ``group`` is the topic or symbol that the case is about, ``phrasing`` the template it was made from, ``category``
    what makes a probe hard, and ``unseen`` says that no training query was phrased like it. ``prompt_hash`` is that of
    the prompt's token ids, empty in runs of before it was kept.
    """

    case: str
    suite: Suite
    turn: Literal[1, 2]
    label: Label
    query: str
    prompt_tokens: int
    text: str
    tokens: tuple[int, ...]
    finish: Finish
    after_stop: str
    calls: tuple[Call, ...]
    failure: str | None
    decision: Decision
    group: str = ""
    phrasing: str = ""
    category: str = ""
    unseen: bool = False
    prompt_hash: str = ""

    @property
    def correct(self) -> bool:
        """Whether the reply does what its label asks for."""
        return self.decision == ("call" if self.label == "tool" else "answer")


class Samples(Frozen):
    """Repeated measurements of one quantity."""

    unit: str
    values: tuple[float, ...]
    what: str


class Memory(Frozen):
    """Memory of one variant in a fresh process, in bytes."""

    mlx_active_bytes: int
    mlx_peak_bytes: int
    process_peak_bytes: int
    process_peak_kind: str
    work: str


class Divergence(Parting):
    """Where the shipped kernels first wrote another token than the judged reply to a query has."""

    case: str


class Agreement(Frozen):
    """Whether fast weights and shipped kernels gave the same tokens on the timed queries.

    ``unpaired`` are queries that only one of the two replied to.
    """

    same: int
    compared: int
    divergences: tuple[Divergence, ...] = ()
    unpaired: tuple[str, ...] = ()


class VariantRecord(Frozen):
    """Everything measured on one variant; ``audit`` is None where it was not audited, and in runs before audits.

    ``artefact`` is the hash of what it was made from, ``content`` that of its files; the latter is empty in older runs.
    """

    name: str
    role: Role
    kind: str
    artefact: str
    content: str = ""
    bits: int | None
    group_size: int | None
    bits_per_weight: float | None
    size_bytes: int | None
    replies_on: str
    replies: tuple[Reply, ...] = ()
    latency: dict[str, Samples] = {}
    memory: Memory | None = None
    agreement: Agreement | None = None
    audit: AuditRecord | None = None


class SuitePair(Frozen):
    """How many prompts of one suite a variant lost and gained against the reference, and who was right how often."""

    suite: Suite
    prompts: int
    right: int
    reference_right: int
    lost: int
    gained: int


class PairedLoss(Frozen):
    """A variant against the live adapter on the same prompts; shares are of ``prompts``.

    ``lost`` and ``gained`` name the prompts that only the reference, or only the variant, got right. ``loss`` is the
    reference's share of right replies minus the variant's, ``bound`` its one-sided 95 % upper bound and
    ``bound_method`` where that comes from. ``p`` is of the one-sided exact McNemar test, ``adjusted_p`` after
    Holm over ``family`` variants.
    """

    reference: str
    prompts: int
    suites: tuple[SuitePair, ...]
    lost: tuple[str, ...]
    gained: tuple[str, ...]
    loss: float
    bound: float
    bound_method: str
    p: float
    adjusted_p: float
    family: int
    outcome: Literal["regressed", "fine", "inconclusive"]


class Verdict(Frozen):
    """One gate on one variant: a measured value, its limit, and how sure we are.

    ``detail`` is one line for a person; ``failures`` names the cases behind a failing share. ``paired`` is what a
    comparison with the live adapter found, and ``blocks`` whether an inconclusive verdict holds up the run.
    ``as_production`` is what the same measurement would mean for a production variant, whatever the role is; None
    where the profile sets no such gate, and in runs of before it was kept.
    """

    variant: str
    role: Role
    gate: str
    status: Status
    measured: float | None = None
    limit: float | None = None
    unit: str = ""
    samples: int = 0
    interval: Interval | None = None
    detail: str = ""
    failures: tuple[str, ...] = ()
    paired: PairedLoss | None = None
    blocks: bool = True
    as_production: Production | None = None


class TrainingRecord(Frozen):
    """How the adapter came about."""

    rung: str
    iterations: int
    trainable_parameters: int
    modules: tuple[str, ...]
    train_loss: tuple[tuple[int, float], ...]
    valid_loss: tuple[tuple[int, float], ...]
    tokens_per_second: float
    peak_bytes: int


class ProbeRecord(Frozen):
    """Which rung of the ladder fitted, and why the ones before it did not."""

    rung: str
    peak_bytes: int
    ceiling_bytes: int
    attempts: tuple[str, ...]


class Leakage(Frozen):
    """What stands between the splits, counted over all pairs; the five counts must be 0.

    ``near_duplicates`` are pairs of user turns in different splits, ``near_held_back`` training queries close to
    a canonical query or a probe, ``shared_nouns`` training queries that want the same kind of reply about the same
    thing as one of these, ``shared_phrasings`` unseen phrasings that training or validation rows are asked in.
    ``highest`` holds the highest character 5-gram Jaccard similarity by pair, as in ``train-test``.
    ``unseen_phrasings`` are those of the mined ``phrasings`` kept for the test split, and ``unseen_test_rows``
    the rows that are asked in them.
    """

    shared_symbols: int
    near_duplicates: int
    near_held_back: int
    shared_nouns: int
    shared_phrasings: int
    near_duplicate_limit: float
    near_held_back_limit: float
    highest: dict[str, float]
    phrasings: int
    unseen_phrasings: tuple[str, ...]
    unseen_test_rows: int


class CorpusRecord(Frozen):
    """What the prompts and the training rows came from.

    What a corpus of the user's own files cannot know has its default. ``kinds`` are examples by split and kind,
    ``excluded`` candidates by reason, ``distributions`` mined examples by origin. ``sha256`` is of each file;
    ``corpus_sha256`` covers these and ``pool_sha256``.
    """

    train: int
    valid: int
    test: int
    tool_share: float
    row_tokens: int
    longest_row_tokens: int | None
    kinds: dict[str, dict[str, int]] = {}
    candidates: int | None = None
    excluded: dict[str, int] = {}
    distributions: dict[str, int] = {}
    hand_written: int = 0
    leakage: Leakage | None = None
    sha256: dict[str, str] = {}
    pool_key: str | None = None
    pool_sha256: str | None = None
    corpus_sha256: str | None = None


class RunRecord(Frozen):
    """One run of Phase 8.

    ``survival`` is None where the profile scores no ladder, and in runs before there was one. ``failures`` are tests
    that failed without a verdict that says why: an error while timing, for instance. ``pytest_status`` is the exit
    status of pytest itself, negative where a signal ended it; None in runs of before it was kept.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    profile: str
    profile_description: str
    profile_hash: str
    lane: str
    started: str
    seconds: float
    partial: bool
    environment: Environment
    artefacts: dict[str, str]
    corpus: CorpusRecord | None
    probe: ProbeRecord | None
    training: TrainingRecord | None
    variants: tuple[VariantRecord, ...]
    verdicts: tuple[Verdict, ...]
    survival: LadderRecord | None = None
    failures: tuple[str, ...] = ()
    pytest_status: int | None = None


class VerdictFile(Frozen):
    """``verdict.json``: the outcome alone."""

    exit_code: Literal[0, 1, 2, 3]
    outcome: Literal["pass", "fail", "inconclusive"]
    reasons: tuple[str, ...]
    partial: bool
