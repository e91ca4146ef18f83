"""Latency in the merge gate: which variants are timed against the baseline's, and from where."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from phase8.core.errors import InvalidInput
from phase8.core.lazy_imports import psutil
from phase8.core.machine import GB
from phase8.core.project import PACKAGE
from phase8.measure.ab_blocks import Measurable
from phase8.measure.process import MODULE
from phase8.measure.sequential_test import Pair, looks
from phase8.record.run import RunRecord, VariantRecord
from phase8.regression.latency import Timed
from phase8.regression.worktree import Tree, tree_at, works_there
from phase8.stages.flow import Flow

_FLAT_MODULE = "harness.engine.measured"  # what commits call it whose modules lie flat in one folder


def time_against(flow: Flow, run: RunRecord, baseline: RunRecord, ref: str | None, say: Callable[[str], None]) -> Timed:
    """Blocks of the baseline's variants and this checkout's, in one job.

    The baseline's side runs the code and the pins of its own commit, or of ``ref``.
    """
    asked = _asked(flow, run, baseline)
    left_out = [v.name for v in run.variants if v.role == "production" and v.name not in asked]
    why = dict.fromkeys(left_out, "gate.latency.variants of the profile leaves it out, or the baseline lacks it")
    if run.lane != baseline.lane:
        return Timed((), why | dict.fromkeys(asked, "the baseline is of another lane"))
    if not asked:
        return Timed((), why)
    commit = ref or baseline.environment.commit
    try:
        if commit is None:
            raise InvalidInput("the baseline does not say which commit it was measured at")
        tree = tree_at(commit, flow.located, flow.store.root, say)
        works = works_there(tree, flow.located, flow.store.root, asked)
    except InvalidInput as error:
        told = "Or time nothing: gate.latency.variants = [] in the profile"
        return Timed((), why | dict.fromkeys(asked, str(error)), f"{error}. {told}")
    before, after = ({variant.name: variant for variant in one.variants} for one in (baseline, run))
    pairs: dict[str, Pair] = {}
    undecided: dict[str, str] = {}
    replaced: dict[str, str] = {}
    for name in asked:
        if reason := _other_work(works[name], flow) or _cannot(works[name], before[name], after[name]):
            undecided[name] = reason
            continue
        pairs[name] = {"baseline": _there(works[name], tree), "change": _here(flow, name)}
        if not _runs(works[name], before[name]):
            replaced[name] = before[name].artefact
    return Timed(tuple(looks(pairs, flow.profile.gate.latency, say)), why, undecided=undecided, replaced=replaced)


def _asked(flow: Flow, run: RunRecord, baseline: RunRecord) -> list[str]:
    """The variants that are timed: those the profile names, else production ones, that both runs have."""
    named = flow.profile.gate.latency.variants
    wanted = [v.name for v in run.variants if (v.role == "production" if named is None else v.name in named)]
    there = {variant.name for variant in baseline.variants}
    return [name for name in wanted if name in there]


def _other_work(work: Mapping[str, Any], flow: Flow) -> str:
    """What the baseline's commit would measure otherwise; empty where the work is the same."""
    theirs, ours = json.loads(work["json"]).get("latency"), flow.profile.latency.model_dump(mode="json")
    return "" if theirs == ours else f"other fixed work: {theirs} at the baseline's commit, {ours} here"


def _runs(work: Mapping[str, Any], variant: VariantRecord) -> bool:
    """Whether this work runs the weights of a record; an older harness knows no hash of contents."""
    same_files = variant.content != "" and work.get("content") == variant.content
    return same_files or work["artefact"] == variant.artefact


def _cannot(work: Mapping[str, Any], before: VariantRecord, after: VariantRecord) -> str:
    """Why two variants cannot be timed side by side; empty where they can.

    Where a folder that was made elsewhere has been replaced, both sides run today's weights: the code and the
    environment are still compared.
    """
    if not (_runs(work, before) or _runs(work, after)):
        return f"the baseline's weights are not here: {before.artefact} wanted, found {work['artefact']}"
    needed = sum(one.memory.process_peak_bytes if one.memory else one.size_bytes or 0 for one in (before, after))
    if needed > (free := psutil.virtual_memory().available):
        return f"both sides need {needed / GB:.1f} GB of memory together, {free / GB:.1f} GB are free"
    return ""


def _there(work: Mapping[str, Any], tree: Tree) -> Measurable:
    roomy = (tree.folder / "harness" / PACKAGE.name).is_dir()
    command = (tree.python, "-m", MODULE if roomy else _FLAT_MODULE)
    return Measurable(work=work["json"], queries=tuple(work["queries"]), command=command, folder=tree.folder)


def _here(flow: Flow, name: str) -> Measurable:
    work = flow.work(flow.variant(name), ())
    return Measurable(work=work.model_dump_json(), queries=tuple(case.id for case in work.cases))
