"""The audit on real models that are small enough to make here, and a runtime that was changed under them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from phase8.cases.cases import Case
from phase8.cases.jobs import AuditWork
from phase8.core.errors import InvalidInput
from phase8.measure.audit import audit
from phase8.profile.limits import Audit
from phase8.profile.sections import Prompting
from phase8.record.audit import WAYS, AuditRecord
from phase8.record.run import Reply
from phase8.regression.pairing import Both
from phase8.regression.runtime import runtime
from suites.unit import records, tiny
from suites.unit.gates import PROFILE

NAMES = ("find it", "call Help in a.py", "find Help in a.py")
CASES = tuple(
    Case(
        id=name,
        suite="held-out" if name == NAMES[2] else "canonical",
        turn=1,
        label="direct",
        query=name,
        messages=({"role": "system", "content": "Help."}, {"role": "user", "content": name}),
    )
    for name in NAMES
)
PROMPTING = Prompting(format="fenced", stop_sequences=("<|im_end|>",), max_tokens=8)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> AuditWork:
    """A tiny model, sharpened until its tokens are clearly likelier than others, and the replies it was judged on."""
    import mlx.core as mx

    from phase8.cases.replies import read_reply
    from phase8.engine.arrays import load_arrays
    from phase8.engine.generate.batched import greedy
    from phase8.engine.load.chat import case_tokens, stop_ids
    from phase8.engine.load.models import load_fast

    root = tmp_path_factory.mktemp("audit")
    (root / "tokenizer").mkdir()
    tokenizer = tiny.tokenizer_folder(root / "tokenizer")
    folder = tiny.model_folder(root / "model", tokenizer, tiny.UNTIED, dtype="float32")
    file = folder / "model.safetensors"
    arrays = dict(load_arrays(file).arrays)
    arrays["lm_head.weight"] = arrays["lm_head.weight"] * 4
    mx.eval(arrays)
    mx.save_safetensors(str(file), arrays, metadata={"format": "mlx"})
    model, read = load_fast(folder)
    prompts = [case_tokens(read, case, [], PROMPTING) for case in CASES]
    written = greedy(model, read, prompts, stop_ids(read, PROMPTING.stop_sequences), PROMPTING.max_tokens)
    return AuditWork(
        folder=folder,
        adapter=None,
        cases=CASES,
        judged=tuple(
            read_reply(case, read.decode(list(one.tokens)), one.tokens, one.finish, prompt, PROMPTING, [])
            for case, prompt, one in zip(CASES, prompts, written, strict=True)
        ),
        timed=frozenset(NAMES[:2]),
        prompting=PROMPTING,
        tools=[],
        audit=Audit(positions=6, likeliest=4),
    )


@pytest.fixture(scope="module")
def baseline(work: AuditWork) -> AuditRecord:
    """Its audit, by a process of its own."""
    found = audit({"tiny": work})["tiny"]
    assert isinstance(found, AuditRecord), found
    return found


def here(work: AuditWork) -> AuditRecord:
    """The audit in this process, whose runtime a test may change."""
    from phase8.engine.timing.audit_worker import audited

    return audited(work)


def told(before: AuditRecord, after: AuditRecord, work: AuditWork) -> Any:
    """What the merge gate says of the runtime of two runs with the same judged replies."""
    variant = records.variant(replies=work.judged, audit=before)
    (found,) = runtime(Both(before=variant, after=variant.model_copy(update={"audit": after})), PROFILE)
    return found


def test_every_way_is_tried_and_an_unchanged_model_is_stable(work: AuditWork, baseline: AuditRecord) -> None:
    """Canonical queries lack the one that the timed replies give."""
    assert [prompt.case for prompt in baseline.prompts] == list(NAMES)
    assert all(prompt.parted == {} for prompt in baseline.prompts)
    assert set(baseline.prompts[2].compared) == set(WAYS)
    assert set(baseline.prompts[0].compared) == set(WAYS) - {"alone"}
    assert baseline.prompts[2].stable
    assert baseline.side_by_side == 3


def test_the_odds_are_those_of_the_reply(work: AuditWork, baseline: AuditRecord) -> None:
    """At most as many tokens as the profile keeps, and the likeliest is the one that was written."""
    for prompt, judged in zip(baseline.prompts, work.judged, strict=True):
        assert len(prompt.odds) == min(6, len(judged.tokens) + (judged.finish == "stop"))
        kept = [one.tokens[0] for one in prompt.odds][: len(judged.tokens)]
        assert kept == list(judged.tokens[: len(kept)])
        assert all(len(one.tokens) == 4 for one in prompt.odds)


def test_the_odds_are_the_models_own(work: AuditWork, baseline: AuditRecord) -> None:
    """Those of one pass over prompt and reply, in float64."""
    import mlx.core as mx
    import numpy as np

    from phase8.engine.load.chat import case_tokens
    from phase8.engine.load.models import load_fast

    model, tokenizer = load_fast(work.folder)
    prompt = case_tokens(tokenizer, CASES[0], [], PROMPTING)
    whole: Any = model(mx.array([[*prompt, *work.judged[0].tokens]]))
    logits = np.array(whole[0, len(prompt) - 1 :]).astype(np.float64)
    logs = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    for row, kept in zip(logs, baseline.prompts[0].odds, strict=False):
        assert kept.log_p == pytest.approx(row[list(kept.tokens)], abs=1e-4)
        assert kept.log_rest == pytest.approx(np.log1p(-np.exp(row[list(kept.tokens)]).sum()), abs=1e-3)


def test_the_same_runtime_twice_is_exactly_0_apart(work: AuditWork) -> None:
    """Not nearly: nothing is left to rounding."""
    found = told(here(work), here(work), work)
    assert (found.outcome, found.measured) == ("fine", 0.0)


def _activation(monkeypatch: pytest.MonkeyPatch, _: AuditWork) -> None:
    import mlx.core as mx
    from mlx_lm.models import llama

    monkeypatch.setattr(llama, "swiglu", lambda gate, x: gate * mx.sigmoid(1.05 * gate) * x)


def _weights(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], None]) -> None:
    from phase8.engine.load import models
    from phase8.engine.timing import audit_worker as audited

    def load(folder: Path, adapter: Path | None) -> Any:
        model, tokenizer = models.load_fast(folder, adapter)
        change(model)
        return model, tokenizer

    monkeypatch.setattr(audited, "load_fast", load)


def _jitter(monkeypatch: pytest.MonkeyPatch, _: AuditWork) -> None:
    import mlx.core as mx

    def change(model: Any) -> None:
        head = model.lm_head.weight
        model.lm_head.weight = head * (1 + 0.005 * mx.random.normal(head.shape, key=mx.random.key(8)))

    _weights(monkeypatch, change)


def _scale(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    def change(model: Any) -> None:
        model.lm_head.weight = model.lm_head.weight * factor
        if "bias" in model.lm_head:
            model.lm_head.bias = model.lm_head.bias * factor

    _weights(monkeypatch, change)


PLANTS: dict[str, Callable[[pytest.MonkeyPatch, AuditWork], None]] = {
    "another activation": _activation,
    "weights jittered": _jitter,
    "logits scaled": lambda monkeypatch, _: _scale(monkeypatch, 1.01),
}


@pytest.mark.parametrize("plant", list(PLANTS))
def test_a_changed_runtime_is_found_though_it_writes_the_same_tokens(
    work: AuditWork, baseline: AuditRecord, monkeypatch: pytest.MonkeyPatch, plant: str
) -> None:
    """The gate names it by the odds alone."""
    PLANTS[plant](monkeypatch, work)
    after = here(work)
    assert all(prompt.parted == {} for prompt in after.prompts), "the plant changes tokens: make it smaller"
    found = told(baseline, after, work)
    assert found.outcome == "regressed"
    assert found.measured > 1e-5
    assert "same tokens" in found.detail


def test_a_scale_of_one_thousandth_is_told_and_too_small_to_judge(
    work: AuditWork, baseline: AuditRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half the variance of ln p, times 1e-6: no 300 tokens reach 1e-5."""
    _scale(monkeypatch, 1.001)
    found = told(baseline, here(work), work)
    assert found.outcome == "fine"
    assert 0 < found.measured < 1e-5


def _other_tokens(replies: tuple[Reply, ...]) -> tuple[Reply, ...]:
    return tuple(reply.model_copy(update={"tokens": (*reply.tokens[:1], 299)}) for reply in replies)


def test_a_reply_that_differs_parts_at_its_token_with_the_gap(work: AuditWork) -> None:
    """All ways are compared with the judged reply, and the odds end where the context is another one."""
    found = here(work.model_copy(update={"judged": _other_tokens(work.judged)}))
    for prompt in found.prompts:
        assert set(prompt.parted) == set(prompt.compared) - {"again"}
        assert {one.position for one in prompt.parted.values()} == {1}
        assert all(one.gap is not None and one.gap > 0 for one in prompt.parted.values())
        assert len(prompt.odds) == 2
        assert not prompt.stable


def _every_other(written: Iterator[Any]) -> Callable[..., Any]:
    return lambda *_args, **_more: next(written)


def test_replies_that_differ_when_written_again_are_unstable(work: AuditWork, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the judged replies were."""
    from phase8.engine.generate.batched import Generated
    from phase8.engine.timing import audit_worker as audited

    once = [Generated(tokens=reply.tokens, finish=reply.finish) for reply in work.judged]
    again = [Generated(tokens=(299,), finish="stop"), *once[1:]]
    monkeypatch.setattr(audited, "greedy", _every_other(iter([once, again])))
    first, *others = here(work).prompts
    assert (set(first.parted), first.parted["again"].position) == ({"again"}, 0)
    assert all(prompt.parted == {} for prompt in others)


def test_a_prompt_cache_that_is_reused_wrongly_is_found(work: AuditWork, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cold and cached replies part."""
    from phase8.engine.generate import batched as generate

    whole = generate._read_prefix
    monkeypatch.setattr(generate, "_read_prefix", lambda model, tokens: whole(model, tokens[:-1]))
    parted = [set(prompt.parted) for prompt in here(work).prompts]
    assert {"batch"} in parted
    assert not any("cold" in one for one in parted)


def test_models_whose_cache_cannot_be_batched_are_audited_one_prompt_at_a_time(
    work: AuditWork, baseline: AuditRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same tokens, and odds that rounding alone tells apart."""
    from phase8.engine.timing import audit_worker as audited

    monkeypatch.setattr(audited, "KVCache", type("Another", (), {}))
    found = here(work)
    assert all(prompt.parted == {} for prompt in found.prompts)
    assert told(baseline, found, work).measured < 1e-9


def test_a_process_that_fails_takes_only_its_own_variants_along(work: AuditWork, baseline: AuditRecord) -> None:
    """And says what happened; the others are as in any other process. Nothing is audited of nothing."""
    found = audit({"tiny": work, "broken": work.model_copy(update={"folder": Path("nowhere")})})
    assert isinstance(found["tiny"], AuditRecord)
    assert found["tiny"].prompts == baseline.prompts
    assert isinstance(found["broken"], InvalidInput)
    assert "nowhere" in str(found["broken"])
    assert list(found) == ["tiny", "broken"]
    assert audit({}) == {}
