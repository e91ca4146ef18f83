"""The command on training data: build the corpus and describe it, prove it, or check a chat file."""

import argparse

from phase8.core.errors import InvalidInput
from phase8.profile import loading
from phase8.record.run import Leakage
from phase8.runner import plan
from phase8.runner.context import CONSOLE, flow_of


def data(options: argparse.Namespace) -> int:
    """Build the corpus and say what it consists of, or check a chat file."""
    if options.check:
        if options.plan or options.verify is not None:
            raise InvalidInput(
                "data --check checks one file and builds nothing: it goes with neither --plan nor --verify"
            )
        return _check(options)
    if given := [name for name in ("format", "against", "model", "max_tokens") if getattr(options, name) is not None]:
        raise InvalidInput(f"--{given[0].replace('_', '-')} needs --check FILE, the chat file to be checked")
    flow = flow_of(options)
    if options.plan:
        return 0 if plan.show(flow, CONSOLE, plan.leading_to(flow, [flow.corpus])) else 2
    from phase8.corpus.stage import read_corpus_record

    path = flow.path(flow.corpus)
    if options.verify is not None:
        from phase8.corpus.checks.verify import verify

        return verify(flow.located, flow.tools, path, options.verify, CONSOLE)
    found = read_corpus_record(path)
    known = found.longest_row_tokens is not None
    longest = f"longest row {found.longest_row_tokens} of {found.row_tokens} tokens" if known else "rows not measured"
    CONSOLE.print(
        f"{found.train + found.valid + found.test} examples: {found.train} train, {found.valid} valid, "
        f"{found.test} test; {found.tool_share:.1%} call a tool, {1 - found.tool_share:.1%} answer directly; "
        f"{longest}\n{path}",
        highlight=False,
        soft_wrap=True,
    )
    if found.leakage:
        CONSOLE.print(_leakage(found.leakage), highlight=False, soft_wrap=True)
    if (card := path / "data_card.html").is_file():
        CONSOLE.print(f"data card: {card}", highlight=False, soft_wrap=True)
    return 0


def _leakage(found: Leakage) -> str:
    across = [found.highest[pair] for pair in ("train-valid", "train-test", "valid-test")]
    asked = [found.highest[pair] for pair in ("train-canonical", "train-probes")]
    return (
        f"leakage: {found.shared_symbols} symbols in two splits; {found.near_duplicates} pairs across splits at "
        f"{found.near_duplicate_limit} or more (highest {max(across):.2f}); {found.near_held_back} training queries at "
        f"{found.near_held_back_limit} or more to canonical queries and probes (highest {max(asked):.2f}), "
        f"{found.shared_nouns} with their intent and noun\nunseen phrasings: {len(found.unseen_phrasings)} of "
        f"{found.phrasings}, in {found.unseen_test_rows} rows of the test split alone"
    )


def _check(options: argparse.Namespace) -> int:
    from phase8.cases.cases import canonical_cases, read_tools
    from phase8.corpus.lint import check as lint
    from phase8.corpus.lint import report as lint_report

    located = loading.load(options.profile or loading.DEFAULT)
    tools, corpus = read_tools(located), located.profile.corpus
    asked = tuple(case.query for case in canonical_cases(located, tools))
    found = lint.Options(asked, options.format, None, options.against, options.model, options.max_tokens)
    if options.profile:
        found = found._replace(
            style=options.format or located.profile.prompting.format,
            tools=tools,
            max_tokens=corpus.row_tokens if corpus and options.max_tokens is None else options.max_tokens,
        )
    checked = lint.check(options.check, found)
    lint_report.show(checked, CONSOLE)
    return 1 if checked.errors else 0
