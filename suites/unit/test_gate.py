"""The merge gate: every planted regression is named, and identical runs are fine."""

from functools import cache, partial

import pytest

from phase8.profile.profile import Profile
from phase8.record.ab_blocks import Block
from phase8.record.run import RunRecord
from phase8.regression.checks import compare_with_baseline, smallest_loss
from phase8.regression.completeness import absences
from phase8.regression.findings import Finding, GateReport, gate_report
from phase8.regression.latency import latency_finding
from phase8.regression.validity import soundness
from phase8.report.gate_text import LIMIT, gate_markdown, terminal_lines
from suites.unit import records
from suites.unit.gates import COMMIT, HASH, PRODUCTION, PROFILE, losing, timed, whole_run, with_replies, with_variant


@cache
def accepted() -> RunRecord:
    """What every run is judged against; made once, when the first test asks."""
    return whole_run()


def judged(run: RunRecord, against: RunRecord | None = None, profile: Profile = PROFILE) -> GateReport:
    """What the gate says of a run."""
    findings = soundness(run, profile, HASH, COMMIT) + compare_with_baseline(run, against or accepted(), profile)
    return gate_report(findings)


def bad(report: GateReport) -> list[tuple[str, str, str]]:
    """The findings that speak against a run: outcome, subject, check."""
    unwanted = ("invalid", "missing", "regressed", "inconclusive")
    return [(f.outcome, f.subject, f.check) for f in report.findings if f.outcome in unwanted]


def finding(report: GateReport, check: str, subject: str = PRODUCTION) -> Finding:
    """The one finding of a check."""
    (found,) = [f for f in report.findings if (f.check, f.subject) == (check, subject)]
    return found


def replies(run: RunRecord, name: str = PRODUCTION):
    """The replies of one variant."""
    return next(variant.replies for variant in run.variants if variant.name == name)


def without_verdicts(name: str, gate: str, given: RunRecord | None = None) -> RunRecord:
    """A run, the accepted one if none is given, without one verdict."""
    run = given or accepted()
    kept = tuple(v for v in run.verdicts if (v.variant, v.gate) != (name, gate))
    return run.model_copy(update={"verdicts": kept})


def test_identical_runs_are_fine_and_latency_is_not_judged() -> None:
    """And it says so by name."""
    report = judged(accepted())
    assert (report.exit_code, report.outcome, bad(report)) == (0, "fine", [])
    assert "not judged: needs blocks measured in one job" in finding(report, "latency").detail
    assert finding(report, "accuracy").outcome == "fine"


def _dropped() -> RunRecord:
    return with_variant(accepted(), PRODUCTION, replies=replies(accepted())[1:])


def _renamed() -> RunRecord:
    return with_replies(accepted(), PRODUCTION, {"held-out-03": {"case": "held-out-99"}})


def _reworded() -> RunRecord:
    return with_replies(accepted(), PRODUCTION, {"held-out-03": {"query": "Another question"}})


def _system_prompt_lost() -> RunRecord:
    return with_replies(accepted(), PRODUCTION, {r.case: {"prompt_tokens": 30} for r in replies(accepted())})


def _system_prompt_of_the_same_length() -> RunRecord:
    return with_replies(accepted(), PRODUCTION, {r.case: {"prompt_hash": "f" * 16} for r in replies(accepted())})


def _without(name: str) -> RunRecord:
    return accepted().model_copy(
        update={
            "variants": tuple(v for v in accepted().variants if v.name != name),
            "verdicts": tuple(v for v in accepted().verdicts if v.variant != name),
            "partial": True,
        }
    )


def _no_probes() -> RunRecord:
    kept = tuple(reply for reply in replies(accepted()) if reply.suite != "probe")
    return with_variant(accepted(), PRODUCTION, replies=kept)


def _no_decode() -> RunRecord:
    latency = next(v.latency for v in accepted().variants if v.name == PRODUCTION)
    return with_variant(accepted(), PRODUCTION, latency=dict(list(latency.items())[1:]))


def _not_applicable() -> RunRecord:
    made = records.verdict(PRODUCTION, "termination", "not applicable")
    kept = without_verdicts(PRODUCTION, "termination")
    return kept.model_copy(update={"verdicts": (*kept.verdicts, made)})


def test_what_the_baseline_has_and_the_run_has_not_fails_by_name(subtests: pytest.Subtests) -> None:
    """Nothing passes by absence."""
    for plant, check, named in [
        (_dropped, "query", "canonical/view-functions"),
        (_renamed, "query", "held-out/held-out-03 (renamed: its text is held-out/held-out-99 now)"),
        (_reworded, "query", "held-out/held-out-03 (was 'Query of held-out-03', is 'Another question')"),
        (_system_prompt_lost, "query", "the prompt had 42 tokens, has 30"),
        (_system_prompt_of_the_same_length, "query", "other tokens in a prompt of 42"),
        (lambda: _without(PRODUCTION), "variant", "the baseline has it"),
        (_no_probes, "suite", "probe"),
        (_no_decode, "metric", "query_s"),
        (lambda: with_variant(accepted(), PRODUCTION, memory=None), "metric", "memory"),
        (lambda: with_variant(accepted(), PRODUCTION, size_bytes=None), "metric", "size_bytes"),
        (lambda: without_verdicts(PRODUCTION, "termination"), "gate", "termination"),
        (_not_applicable, "gate", "termination"),
        (lambda: with_variant(accepted(), PRODUCTION, role="candidate"), "role", "was production, is candidate"),
    ]:
        with subtests.test(plant=plant, check=check, named=named):
            report = judged(plant())
            assert report.exit_code == 1
            found = [f for f in report.findings if (f.outcome, f.subject, f.check) == ("missing", PRODUCTION, check)]
            assert any(named in f.detail for f in found), report.reasons


def test_an_absence_is_found_without_the_help_of_the_profile() -> None:
    """The baseline alone names what is owed."""
    assert [(f.check, f.subject) for f in absences(_without(PRODUCTION), accepted())] == [
        ("variant", PRODUCTION),
        ("gate", PRODUCTION),
    ]
    assert absences(accepted(), accepted()) == []


def _asked_twice() -> RunRecord:
    return with_variant(accepted(), PRODUCTION, replies=(*replies(accepted()), replies(accepted())[7]))


def _copied(mark: str = "") -> RunRecord:
    first = replies(accepted())[7]
    copied = first.model_copy(update={"case": "held-out-98", "query": first.query + mark})
    return with_variant(accepted(), PRODUCTION, replies=(*replies(accepted()), copied))


def _empty() -> RunRecord:
    return accepted().model_copy(update={"variants": (), "verdicts": ()})


def _changed_share(gate: str = "held-out") -> RunRecord:
    kept = without_verdicts(PRODUCTION, gate)
    made = records.verdict(PRODUCTION, gate, "pass", measured=0.5)
    return kept.model_copy(update={"verdicts": (*kept.verdicts, made)})


def test_a_run_that_cannot_be_judged_is_invalid(subtests: pytest.Subtests) -> None:
    """Exit code 2, with the fault."""
    for plant, check, named in [
        (_asked_twice, "duplicated query", "held-out/held-out-02"),
        (_copied, "duplicated query", "Query of held-out-02"),
        (lambda: _copied("?"), "duplicated query", "Query of held-out-02?"),
        (_empty, "empty run", "nothing was measured"),
        (lambda: accepted().model_copy(update={"lane": "pocket--other"}), "lane", "another machine"),
        (lambda: accepted().model_copy(update={"profile_hash": "beef"}), "profile", "beef"),
        (lambda: whole_run(environment=records.environment(commit="f" * 40)), "commit", "f" * 40),
        (lambda: whole_run(environment=records.environment(commit=COMMIT, dirty=True)), "commit", "uncommitted"),
        (lambda: with_variant(accepted(), PRODUCTION, artefact="forged"), "hashes", "forged"),
        *(
            (partial(_changed_share, gate), f"replies against {gate}", told)
            for gate, told in (
                ("canonical", "its replies give 1.0000"),
                ("held-out", "its replies give 1.0000"),
                ("over-calls", "its replies give 0.0000"),
                ("under-calls", "its replies give 0.0000"),
                ("second turn", "there are no such replies"),
                ("termination", "its replies give 1.0000"),
            )
        ),
    ]:
        with subtests.test(plant=plant, check=check, named=named):
            report = judged(plant())
            assert report.exit_code == 2
            assert any(f.outcome == "invalid" and f.check == check and named in f.detail for f in report.findings), (
                report
            )


def test_a_limit_that_was_loosened_is_told_and_does_not_block() -> None:
    """Whoever reads the gate's report sees that the profile judges by another one."""
    strict = records.verdict(PRODUCTION, "held-out", "pass", measured=1.0, limit=0.95, unit="share")
    loose = strict.model_copy(update={"limit": 0.5})
    before, after = (
        accepted().model_copy(update={"verdicts": (*without_verdicts(PRODUCTION, "held-out").verdicts, one)})
        for one in (strict, loose)
    )
    found = [f for f in compare_with_baseline(after, before, PROFILE) if f.check == "limit"]
    assert [(f.outcome, f.blocks, f.detail) for f in found] == [
        ("not judged", False, "held-out is judged by 0.5 share, the baseline was by 0.95")
    ]
    assert not [f for f in compare_with_baseline(before, before, PROFILE) if f.check == "limit"]


def test_a_changed_corpus_hash_is_invalid() -> None:
    """The record says what its files hash to together."""
    corpus = records.record().corpus
    assert corpus
    made = corpus.model_copy(update={"sha256": {"test.jsonl": "00"}, "corpus_sha256": "ff", "pool_sha256": "11"})
    assert ("invalid", "run", "hashes") in bad(judged(whole_run(corpus=made)))


def test_accuracy_lost_beyond_the_limit_is_regressed_with_both_replies() -> None:
    """Twelve of a hundred prompts."""
    report = judged(losing(accepted(), PRODUCTION, 12))
    assert report.exit_code == 1
    found = finding(report, "accuracy")
    assert found.outcome == "regressed"
    assert found.paired
    assert (found.paired.reference, found.paired.family, len(found.paired.lost)) == ("baseline", 4, 12)
    assert len(found.flips) == 12
    assert {(flip.after, flip.change) for flip in found.flips} == {("WRONG", "lost")}
    assert all(flip.before and flip.query for flip in found.flips)


def test_a_loss_that_can_neither_be_shown_nor_ruled_out_is_inconclusive() -> None:
    """The profile says whether that blocks."""
    run = losing(accepted(), PRODUCTION, 3)
    assert (judged(run).exit_code, finding(judged(run), "accuracy").outcome) == (3, "inconclusive")
    free = PROFILE.model_copy(update={"gate": PROFILE.gate.model_copy(update={"inconclusive_blocks": False})})
    report = judged(run, profile=free)
    assert (report.exit_code, finding(report, "accuracy").outcome) == (0, "inconclusive")


def test_a_candidates_loss_is_told_and_does_not_block() -> None:
    """It may fail; it may not be left out."""
    report = judged(losing(accepted(), "fused-4bit", 30))
    assert report.exit_code == 0
    found = finding(report, "accuracy", "fused-4bit")
    assert (found.outcome, found.blocks) == ("regressed", False)
    assert judged(_without("fused-4bit")).exit_code == 1


def test_one_canonical_query_lost_is_regressed() -> None:
    """A hard 100 %: no statistics on five chosen queries."""
    change = {"async-await": {"decision": "answer", "text": "No.", "tokens": (8,), "calls": ()}}
    report = judged(with_replies(accepted(), PRODUCTION, change))
    assert report.exit_code == 1
    found = finding(report, "canonical")
    assert (found.outcome, found.names) == ("regressed", ("async-await",))
    assert found.flips[0].after == "No."


def test_other_tokens_of_the_same_artefact_say_that_the_runtime_changed() -> None:
    """Of a control too, and where every decision stays."""
    for name in (PRODUCTION, "base"):
        report = judged(with_replies(accepted(), name, {"held-out-05": {"tokens": (1, 2, 4)}}))
        assert report.exit_code == 1
        found = finding(report, "runtime", name)
        assert found.outcome == "regressed"
        assert "the runtime changed" in found.detail
        assert found.names == ("held-out/held-out-05",)


def test_other_tokens_of_another_artefact_are_no_fault() -> None:
    """A model that was trained anew words things its own way."""
    run = with_replies(accepted(), PRODUCTION, {"held-out-05": {"tokens": (1, 2, 4)}}, artefact="key-base")
    assert bad(judged(run)) == []


def test_the_same_tokens_with_another_text_say_that_the_tokenizer_changed() -> None:
    """Of another artefact too: its weights may be the same and its tokenizer altered."""
    for artefact in (f"key-{PRODUCTION}", "key-base"):
        run = with_replies(accepted(), PRODUCTION, {"held-out-05": {"text": "Sdrawkcab."}}, artefact=artefact)
        report = judged(run)
        assert report.exit_code == 1
        found = finding(report, "decoding")
        assert (found.outcome, found.names) == ("regressed", ("held-out/held-out-05",))
        assert found.flips[0].after == "Sdrawkcab."
    assert finding(judged(accepted()), "decoding").outcome == "fine"


def test_changed_calls_are_a_diff() -> None:
    """Of the parsed canonical calls."""
    call = replies(accepted())[0].calls[0].model_copy(update={"arguments": {"command": "ls"}})
    report = judged(with_replies(accepted(), PRODUCTION, {"view-functions": {"calls": (call,)}}))
    assert report.exit_code == 1
    found = finding(report, "calls")
    assert '-    "command": "grep -rn def ."' in found.difference
    assert '+    "command": "ls"' in found.difference


@pytest.mark.parametrize(("growth", "code"), [(1.049, 0), (1.051, 1)])
def test_memory_may_grow_as_far_as_the_profile_says(growth: float, code: int) -> None:
    """5 % by default, of the number that the profile judges."""
    memory = next(v.memory for v in accepted().variants if v.name == PRODUCTION)
    assert memory
    grown = memory.model_copy(update={"process_peak_bytes": int(memory.process_peak_bytes * growth)})
    report = judged(with_variant(accepted(), PRODUCTION, memory=grown))
    assert report.exit_code == code
    assert finding(report, "memory").limit == pytest.approx(3.15e8)


def test_memory_measured_at_other_work_is_missing() -> None:
    """Two numbers under one name."""
    memory = next(v.memory for v in accepted().variants if v.name == PRODUCTION)
    assert memory
    report = judged(with_variant(accepted(), PRODUCTION, memory=memory.model_copy(update={"work": "nothing"})))
    assert finding(report, "memory").outcome == "missing"


def test_a_model_that_grew_is_regressed() -> None:
    """By more than 1 %."""
    report = judged(with_variant(accepted(), PRODUCTION, size_bytes=1_010_001))
    assert bad(report) == [("regressed", PRODUCTION, "size")]


def test_the_runs_own_failing_gate_fails_it() -> None:
    """Even where the baseline failed it too."""
    made = records.verdict(PRODUCTION, "termination", "fail", detail="3 of 60")
    kept = without_verdicts(PRODUCTION, "termination")
    run = kept.model_copy(update={"verdicts": (*kept.verdicts, made)})
    report = judged(run, run)
    assert report.exit_code == 1
    assert "3 of 60" in report.reasons[0]


def test_slower_timings_of_another_job_are_shown_and_not_judged() -> None:
    """Twice as slow; as a ratio."""
    latency = next(v.latency for v in accepted().variants if v.name == PRODUCTION)
    slow = {k: s.model_copy(update={"values": tuple(2 * x for x in s.values)}) for k, s in latency.items()}
    report = judged(with_variant(accepted(), PRODUCTION, latency=slow))
    assert report.exit_code == 0
    assert "query_s x 2.000" in finding(report, "latency").detail
    elsewhere = judged(with_variant(accepted(), PRODUCTION, latency=slow).model_copy(update={"lane": "pocket--b"}))
    assert "each over its own base: query_s x 2.000" in finding(elsewhere, "latency").detail
    assert elsewhere.exit_code == 2


def test_nothing_judged_is_not_fine() -> None:
    """No findings, no pass."""
    assert gate_report([]).exit_code == 2


@pytest.mark.parametrize(("prompts", "family", "text"), [(201, 1, "5 of them, 2.5%"), (201, 4, "7 of them, 3.5%")])
def test_the_smallest_loss_is_the_one_mcnemar_can_show(prompts: int, family: int, text: str) -> None:
    """2^-5 is under 0.05, 2^-7 under 0.05 / 4; and one prompt fewer is not."""
    from phase8.stats.proportions import mcnemar_greater

    assert text in smallest_loss(prompts, family)
    lost = int(text.split()[0])
    assert mcnemar_greater(lost, 0) < 0.05 / family <= mcnemar_greater(lost - 1, 0)
    assert "can show no loss" in smallest_loss(3, 1)


def test_the_markdown_is_short_harmless_and_starts_with_the_worst() -> None:
    """Whatever the model wrote."""
    hostile = "</details>@everyone <script>x</script> ```\n# head " + "y" * 5000
    run = losing(accepted(), PRODUCTION, 60)
    change = {r.case: {"text": hostile} for r in replies(run)}
    text = gate_markdown(judged(with_replies(run, PRODUCTION, change)))
    assert len(text) < LIMIT
    assert "<script>" not in text
    assert "@everyone" not in text
    lines = [line for line in text.splitlines() if line.startswith("- **")]
    assert lines[0].startswith("- **regressed** fused\\-5bit") or lines[0].startswith("- **regressed** fused-5bit")
    assert "**fine**" in lines[-1] or "**not judged**" in lines[-1]
    assert not any(line.startswith("# head") for line in text.splitlines())


def test_thousands_of_findings_are_cut_and_counted() -> None:
    """A comment that cannot be posted helps nobody."""
    found = [Finding(check="gate", subject=f"v{i}", outcome="missing", detail="x" * 900) for i in range(2000)]
    text = gate_markdown(gate_report(found))
    assert len(text) < LIMIT
    assert "more findings; gate.json has all of them" in text


def test_a_test_that_failed_without_a_verdict_fails_the_gate() -> None:
    """An error while timing: the run itself had ended with 1."""
    report = judged(whole_run(failures=("suites/phase8/test_latency.py::test_load[base]",)))
    assert report.exit_code == 1
    assert ("missing", "run", "tests") in bad(report)
    assert "test_load[base]" in report.reasons[0]


def with_status(run: RunRecord, gate: str, status: str) -> RunRecord:
    """The run in which one gate of a production variant ended otherwise."""
    made = tuple(
        v.model_copy(update={"status": status}) if (v.variant, v.gate) == (PRODUCTION, gate) else v
        for v in run.verdicts
    )
    return run.model_copy(update={"verdicts": made})


@pytest.mark.parametrize("gate", ["recovery", "accuracy vs adapter", "decode ratio"])
def test_what_the_run_itself_could_not_decide_is_inconclusive(gate: str) -> None:
    """Phase 8 ends with 3 there, and so does the gate."""
    report = judged(with_status(accepted(), gate, "inconclusive"))
    assert (report.exit_code, bad(report)) == (3, [("inconclusive", PRODUCTION, gate)])


@pytest.mark.parametrize("status", ["info", "new"])
def test_a_gate_that_is_only_shown_now_is_missing(status: str) -> None:
    """A lost limit, or a deleted snapshot: it can no longer fail."""
    report = judged(with_status(accepted(), "tool calls", status))
    assert report.exit_code == 1
    assert ("missing", PRODUCTION, "gate") in bad(report)


def test_a_determinism_that_had_no_limit_in_the_baseline_may_be_shown_only() -> None:
    """It said "pass" before it could have a limit, and could not fail either; one with a limit must keep it."""
    baseline = with_status(accepted(), "determinism", "pass")
    after = with_status(accepted(), "determinism", "info")
    assert ("missing", PRODUCTION, "gate") not in bad(judged(after, baseline))
    limited = tuple(v.model_copy(update={"limit": 1.0}) if v.gate == "determinism" else v for v in baseline.verdicts)
    assert ("missing", PRODUCTION, "gate") in bad(judged(after, baseline.model_copy(update={"verdicts": limited})))


def test_a_variant_that_the_baseline_lacks_is_named() -> None:
    """Its own gates alone have judged it."""
    kept = tuple(variant for variant in accepted().variants if variant.name != PRODUCTION)
    report = judged(accepted(), accepted().model_copy(update={"variants": kept}))
    assert "the baseline has no such variant" in finding(report, "variant").detail


def test_findings_that_cannot_fail_prove_nothing() -> None:
    """Everything is a candidate: nothing was judged."""
    free = tuple(one.model_copy(update={"blocks": False}) for one in judged(accepted()).findings)
    report = gate_report(list(free))
    assert (report.exit_code, report.reasons) == (2, ("nothing was judged",))


def test_canonical_calls_of_no_query_are_not_judged() -> None:
    """Two empty sets are equal, and show nothing."""
    none = tuple(reply for reply in replies(accepted()) if reply.suite != "canonical")
    run = with_variant(accepted(), PRODUCTION, replies=none)
    assert finding(judged(run, run), "calls").outcome == "not judged"


def test_a_slowdown_stays_one_where_another_quantity_has_no_values() -> None:
    """And a process that died is no accident of the machine, whichever look it died in."""
    blocks = (Block.model_construct(baseline={}, change={}, dropped=""),)
    why = "7 of 16 blocks count, 8 are needed: no verdict on ttft_warm_s"
    assert latency_finding(timed(why=why, blocks=blocks), blocks=True).outcome == "regressed"
    assert latency_finding(timed(why=why, blocks=blocks, quantities=()), blocks=True).outcome == "inconclusive"
    assert latency_finding(timed(why="it died", ended=True, blocks=blocks), blocks=True).outcome == "missing"


def test_a_terminal_shows_in_full_what_speaks_against_the_change_and_names_the_rest() -> None:
    """A person looks at one screen; all figures are in the reports."""
    findings = [
        Finding(check="size", subject="b", outcome="fine", detail="s"),
        Finding(check="latency", subject="b", outcome="fine", detail="timed"),
        Finding(check="memory", subject="b", outcome="fine", detail="m"),
        Finding(check="latency", subject="a", outcome="not judged", detail="n", blocks=False),
        Finding(check="latency", subject="c", outcome="not judged", detail="n", blocks=False),
        Finding(check="calls", subject="c", outcome="regressed", detail="told", blocks=False),
        *(Finding(check="canonical", subject=f"v{i}", outcome="regressed", detail=f"lost {i}") for i in range(26)),
    ]
    assert terminal_lines(gate_report(findings)) == [
        *(f"regressed: v{i}: canonical: lost {i}" for i in range(25)),
        "... and 2 more",
        "fine: b: latency: timed",
        "not judged: latency: a, c",
        "fine: b: size, memory",
    ]
    assert terminal_lines(gate_report(findings[5:6])) == ["regressed (does not block): c: calls: told"]


def test_another_profile_than_the_baselines_is_told() -> None:
    """A limit of the gate itself may have been loosened; no verdict of the run shows that."""
    loosened = accepted().model_copy(update={"profile_hash": "f" * 16})
    (found,) = [one for one in compare_with_baseline(loosened, accepted(), PROFILE) if one.check == "profile"]
    assert (found.outcome, found.blocks) == ("not judged", False)
    assert f"profile {HASH} became {'f' * 16}" in found.detail


def test_a_pass_on_the_wrong_side_of_its_own_limit_is_a_changed_record() -> None:
    """Share and replies agree; the word does not follow from them."""
    run = losing(accepted(), PRODUCTION, 30)
    variant = next(v for v in run.variants if v.name == PRODUCTION)
    asked = [r for r in variant.replies if (r.suite, r.turn) == ("held-out", 1)]
    share = sum(r.correct for r in asked) / len(asked)
    verdicts = tuple(
        v.model_copy(update={"measured": share, "limit": 0.9, "status": "pass"})
        if (v.variant, v.gate) == (PRODUCTION, "held-out")
        else v
        for v in run.verdicts
    )
    found = soundness(run.model_copy(update={"verdicts": verdicts}), PROFILE, HASH, COMMIT)
    assert [(one.check, one.outcome) for one in found if one.check.startswith("verdict on")] == [
        ("verdict on held-out", "invalid")
    ]
