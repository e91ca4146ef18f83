"""Scores of tiny models against the plain definitions, computed row by row without any cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from phase8.cases.cases import Case
from phase8.core.lazy_imports import np
from phase8.record.scores import LOG_PROBABILITIES, NO_LIKELIHOOD, Scores, read_scores
from phase8.survival.recovery import recovery
from suites.unit.profiles import prompting
from suites.unit.tiny import MOE, TIED, UNTIED, adapter_folder, model_folder, tokenizer_folder

SHARED = (5, 6, 7, 8)


@cache
def rng() -> np.random.Generator:
    """What every row is drawn from."""
    return np.random.default_rng(2)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One tokenizer for all models."""
    return tokenizer_folder(tmp_path_factory.mktemp("tokenizer"))


def work() -> Any:
    """Seven rows of different lengths, two turns each, and two prompts without a row."""
    from phase8.engine.score.rows import Scored, Work

    scored = []
    for number in range(9):
        case = Case(
            id=f"row-{number}", suite="held-out" if number < 7 else "canonical", turn=1,
            label="tool" if number % 2 else "direct", query="q", messages=(), group=f"topic-{number // 2}",
        )  # fmt: skip
        prompt = (*SHARED, *map(int, rng().integers(10, 290, 3 + number % 4)))
        if number >= 7:
            scored.append(Scored(case, prompt))
            continue
        first, told, second = (int(n) for n in rng().integers(2, 9, 3))
        written = (*[True] * first, *[False] * told, *[True] * second)
        continuation = tuple(map(int, rng().integers(10, 290, len(written))))
        scored.append(Scored(case, prompt, continuation, written, tuple(i < first for i in range(len(written)))))
    scored[3] = replace(scored[3], continuation=(20, 21, *scored[3].continuation[2:]))
    return Work(tuple(scored), (20, 21), frozenset({2}), prompting(max_tokens=8), [])


WORK: list[Any] = []


@pytest.fixture(scope="module")
def rows() -> Any:
    """The same rows for every model."""
    if not WORK:
        WORK.append(work())
    return WORK[0]


def scored(folder: Path, rows: Any, out: Path, adapter: Path | None = None, reference: Path | None = None) -> Scores:
    """What a folder scores."""
    from phase8.engine.score.score import score

    out.mkdir()
    score(folder, adapter, rows, reference, out, ask=True)
    return read_scores(out)


def by_the_book(folder: Path) -> Callable[[tuple[int, ...]], np.ndarray]:
    """Log-probabilities (L, V) in float64 after each token of a sequence, nothing shared and nothing cached."""
    import mlx.core as mx

    from phase8.engine.load.models import load_fast

    model: Any = load_fast(folder)[0]

    def logs(tokens: tuple[int, ...]) -> np.ndarray:
        wide = np.array(model(mx.array([list(tokens)]))[0].astype(mx.float32)).astype(np.float64)
        return wide - np.logaddexp.reduce(wide, axis=-1, keepdims=True)

    return logs


@pytest.mark.parametrize("config", [MOE, TIED, UNTIED], ids=["moe", "tied", "untied"])
def test_likelihood_and_margin_are_those_of_the_plain_model(
    config: dict[str, Any], tokenizer: Path, rows: Any, tmp_path: Path
) -> None:
    """However rows are ordered, padded, and share what they begin with."""
    folder = model_folder(tmp_path / "model", tokenizer, config, "float32")
    found, logs = scored(folder, rows, tmp_path / "scores"), by_the_book(folder)
    named = {one.case.id: one for one in rows.scored}
    for number, row in enumerate(found.file.rows):
        one = named[row.case]
        after = logs(one.prompt + one.continuation)[len(one.prompt) - 1 : -1]
        nll = [-after[i, token] for i, token in enumerate(one.continuation) if one.written[i]]
        mine = found.tokens.row == number
        np.testing.assert_allclose(found.tokens.nll[mine], nll, atol=2e-4)
        assert found.tokens.call[mine].tolist() == [c for c, own in zip(one.call, one.written, strict=True) if own]
    for margin in found.file.margins:
        one = named[margin.case]
        after = logs(one.prompt + rows.opening)[len(one.prompt) - 1 : -1]
        together = sum(after[i, token] for i, token in enumerate(rows.opening))
        assert margin.log_odds == pytest.approx(together - np.log1p(-np.exp(together)), abs=1e-3)
    assert len(found.file.margins) == len(rows.scored)


def test_a_reply_is_read_as_the_model_writes_it(tokenizer: Path, rows: Any, tmp_path: Path) -> None:
    """Its first token is the likeliest one, and it goes on only where that does not decide."""
    folder = model_folder(tmp_path / "model", tokenizer, MOE, "float32")
    found, logs = scored(folder, rows, tmp_path / "scores"), by_the_book(folder)
    named = {one.case.id: one for one in rows.scored}
    assert len(found.file.replies) == len(rows.scored)
    for reply in found.file.replies:
        written: tuple[int, ...] = ()
        for _ in range(max(1, len(reply.tokens))):
            written += (int(logs(named[reply.case].prompt + written)[-1].argmax()),)
        assert reply.tokens == written[: len(reply.tokens)] or written[0] in rows.stops


def test_the_reference_is_at_no_distance_from_itself(tokenizer: Path, rows: Any, tmp_path: Path) -> None:
    """And a quantised model is at the distance that the definition gives."""
    whole = model_folder(tmp_path / "float", tokenizer, TIED, "float32")
    coarse = model_folder(tmp_path / "coarse", tokenizer, TIED, "float32", bits=3, group_size=64)
    own = scored(whole, rows, tmp_path / "own")
    again = scored(whole, rows, tmp_path / "again", reference=tmp_path / "own")
    assert not (tmp_path / "again" / LOG_PROBABILITIES).exists()
    assert own.tokens.kl.max() == 0
    assert again.tokens.kl.max() < 3e-7
    assert again.tokens.same.all()
    far = scored(coarse, rows, tmp_path / "far", reference=tmp_path / "own")
    theirs, ours = by_the_book(whole), by_the_book(coarse)
    one = next(one for one in rows.scored if one.case.id == far.file.rows[0].case)
    p, q = (f(one.prompt + one.continuation)[len(one.prompt) - 1] for f in (theirs, ours))
    assert far.tokens.kl[0] == pytest.approx(float((np.exp(p) * (p - q)).sum()), rel=2e-3)
    assert far.tokens.kl.mean() > 1e-4


def test_part_of_the_delta_recovers_what_the_live_adapter_gains(tokenizer: Path, rows: Any, tmp_path: Path) -> None:
    """The delta times 0, a half and 1 at float width, against the adapter that is not fused, read by the definition."""
    from phase8.engine.fuse.fuse import fuse
    from phase8.engine.score.reference_nll import live_nll, scaled
    from phase8.quant.layout import target

    base = model_folder(tmp_path / "base", tokenizer, TIED, "float32")
    adapter = adapter_folder(tmp_path / "adapter", base, scale=1.0)
    found: dict[float, Scores] = {}
    live = {}
    for factor in (0.0, 0.5, 1.0):
        part = scaled(adapter, factor, tmp_path / f"adapter-{factor}")
        (tmp_path / f"fused-{factor}").mkdir()
        fuse(base, part, [(target(None, 64, "mlx-lm"), tmp_path / f"fused-{factor}")])
        found[factor] = scored(tmp_path / f"fused-{factor}", rows, tmp_path / f"scores-{factor}")
        live[factor] = live_nll(base, part, rows).mean()
    assert live[0.0] == live_nll(base, None, rows).mean()
    start, end = (0.0, 1.0) if live[0.0] > live[1.0] else (1.0, 0.0)
    assert abs(live[0.0] - live[1.0]) > 1e-3
    shares = {factor: _share(one, found[start], found[end]) for factor, one in found.items()}
    assert shares[start] == pytest.approx(0, abs=1e-9)
    assert shares[end] == pytest.approx(1)
    assert shares[0.5] == pytest.approx((live[start] - live[0.5]) / (live[start] - live[end]), abs=1e-3)


def test_a_model_without_numbers_is_scored_as_one_that_knows_nothing(
    tokenizer: Path, rows: Any, tmp_path: Path
) -> None:
    """One NaN among its weights: every token counts against it, files hold numbers, and the tokens are counted."""
    import mlx.core as mx

    from phase8.engine.arrays import load_arrays

    folder = model_folder(tmp_path / "model", tokenizer, TIED, "float32")
    scored(folder, rows, tmp_path / "own")
    tensors = load_arrays(folder / "model.safetensors").arrays
    mx.eval(tensors)
    tensors["model.norm.weight"] = mx.full((128,), float("nan"))
    mx.save_safetensors(str(folder / "model.safetensors"), tensors, {"format": "mlx"})
    found = scored(folder, rows, tmp_path / "broken", reference=tmp_path / "own")
    assert found.file.without_number == len(found.tokens.nll) > 0
    assert set(found.tokens.nll.tolist()) == set(found.tokens.kl.tolist()) == {np.float32(NO_LIKELIHOOD)}


def _share(variant: Scores, base: Scores, reference: Scores) -> float:
    """Recovery's share where few rows cannot show a gain for sure: their differences are given a common sign."""
    from phase8.survival.recovery import estimate, token_groups

    gained = base.tokens.nll.astype(np.float64) - reference.tokens.nll
    left = base.tokens.nll.astype(np.float64) - variant.tokens.nll
    found = recovery(variant, base, reference, None, 0.95)
    return found.share.value if found.share else estimate(left, gained, token_groups(base)).value


def test_tokens_inside_a_call_are_told_from_prose(tokenizer: Path) -> None:
    """From the opening string to the end of the closing one."""
    from phase8.engine.load.tokenizer import read_tokenizer
    from phase8.engine.score.rows import call_marks

    reader = read_tokenizer(tokenizer)
    call = '```json\n{"name": "look", "arguments": {"at": "a"}}\n```'
    tools = [
        {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {"at": {}}}}}
    ]
    for text, inside in ((call, call), (f"Help. {call}", call), ("Help with ```python\nx\n``` it", "")):
        tokens = reader.encode(text, add_special_tokens=False)
        marks = call_marks(reader, tokens, prompting(), tools)
        assert reader.decode([t for t, mark in zip(tokens, marks, strict=True) if mark]).strip() == inside


def test_rows_are_spread_evenly_over_the_split() -> None:
    """All of them without a limit, or with one that none exceeds."""
    from phase8.engine.score.rows import spread

    assert spread(10, 4) == [0, 2, 5, 7]
    assert spread(3, 5) == spread(3, None) == [0, 1, 2]
