"""The command line. Every command says 0 fine, 1 failed, 2 invalid input or machine, 3 inconclusive."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from phase8.core.errors import InvalidInput
from phase8.core.project import ROOT, importable
from phase8.profile.loading import DEFAULT
from phase8.profile.terms import RECIPES, WIDTHS, Format

BUILD = ROOT / "build"
REPORTS = ROOT / "reports" / "latest"
ACCEPTED = ROOT / "reports" / "history"
PLOTS = ROOT / "build" / "plots"
BFCL = ROOT / ".nox" / "bfcl"
BFCL_REPORTS = ROOT / "reports" / "bfcl"
POWER_REPORTS = ROOT / "reports" / "power"


def parser() -> argparse.ArgumentParser:
    """The arguments of every command."""
    top = argparse.ArgumentParser(prog="python -m harness", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add = commands.add_parser
    for name, text in (
        ("run", "Phase 8: build what is missing, judge every variant, report"),
        ("data", "build the corpus"),
        ("probe", "find out whether this machine can train the profile"),
        ("train", "train the adapter"),
        ("fuse", "fuse the adapter at one width or at all of the profile's"),
        ("replies", "ask every variant every prompt, judge nothing"),
        ("scores", "score every rung of the ladder on the held-out rows, judge nothing"),
        ("shards", "print how a run is divided among jobs, and the key that its artefacts are cached by"),
        ("work", "print what measuring a variant takes, for the merge gate of another checkout"),
    ):
        command = add(name, help=text, description=text)
        # with --check it matters whether a profile was named
        default = None if name == "data" else DEFAULT
        command.add_argument("--profile", default=default, help=f"a shipped profile or a path to a .toml ({DEFAULT})")
        if name not in ("shards", "work"):
            command.add_argument("--plan", action="store_true", help="print what would be done, build nothing")
        command.add_argument("--build", type=Path, default=BUILD, help="where artefacts are kept (build/)")
        if name == "data":
            text = "prove the built corpus: execute N random calls again (50) and check every closing answer"
            command.add_argument("--verify", type=int, nargs="?", const=50, metavar="N", help=text)
            _add_check(command)
        if name in ("run", "replies", "scores", "work"):
            command.add_argument("--variant", action="append", default=[], help="this one only; may be repeated")
        if name == "run":
            command.add_argument("--reports", type=Path, default=REPORTS, help="where reports go (reports/latest/)")
        if name == "fuse":
            command.add_argument("--bits", type=int, help=f"one width: {', '.join(map(str, WIDTHS))}")
    add("doctor", help="print what MLX runs on, with measured rates")
    add("docs", help="write the documents that are generated: docs/profile.md, docs/run.schema.json")
    artefacts = add("artefacts", help="list, verify or prune what was built")
    artefacts.add_argument("action", choices=("list", "verify", "prune"))
    artefacts.add_argument("--profile", action="append", help="prune: keep what this one needs; may be repeated")
    artefacts.add_argument("--build", type=Path, default=BUILD, help="where artefacts are kept (build/)")
    text = "judge a fused folder, ours or made elsewhere: is every code that of base + adapter?"
    judged = add("integrity", help=text, description=f"{text} 0 equal, or up to rounding, 1 not, 2 invalid input.")
    judged.add_argument("folder", type=Path, metavar="FOLDER", help="the fused model's folder")
    judged.add_argument("--base", type=Path, required=True, metavar="FOLDER", help="the model that it was fused from")
    judged.add_argument(
        "--adapter", type=Path, required=True, metavar="FOLDER", help="its adapter, as mlx-lm writes it"
    )
    judged.add_argument("--json", action="store_true", help="print the record of every module instead of a table")
    compare = add("compare", help="set two runs side by side")
    compare.add_argument("runs", nargs=2, type=Path, metavar="RUN", help="a run.json, or a folder that holds one")
    _add_gate(add("gate", help="judge a run against the accepted baseline of its lane; without --results, make one"))
    _add_history(add("history", help="list, show, compare, plot and accept runs"))
    _add_power(add("power", help="plant regressions in a clone of this checkout and count what the merge gate catches"))
    bench = add("bench", help="measure ours against stock mlx-lm in one run")
    bench.add_argument("what", choices=("train", "fuse"))
    bench.add_argument("--profile", default="smollm2", help="train: whose base, rows, LoRA settings (smollm2)")
    bench.add_argument("--rounds", type=int, help="interleaved rounds (train 5, fuse 3)")
    bench.add_argument("--parameters", type=float, default=1.3e9, help="fuse: size of the synthetic model (1.3e9)")
    bench.add_argument("--recipe", choices=(*RECIPES, "both"), default="both", help="fuse: which of ours (both)")
    bench.add_argument("--build", type=Path, default=BUILD, help="where artefacts are kept (build/)")
    text = "prove what the harness rests on, here: 0 proved, 1 not"
    proof = add("prove", help=text, description=text)
    proof.add_argument(
        "what",
        choices=("fuse", "recovery", "interval", "recipe", "rounding"),
        help="every fused tensor is stock mlx-lm's; recovery finds a known share; intervals hold the truth as often "
        "as they say; the recipe holds in other arithmetic and with other seeds; integrity tells another BLAS or dtype "
        "from a loss",
    )
    proof.add_argument("--seeds", type=int, help="recipe: seeds of base and training (5 for pocket, else 1)")
    proof.add_argument("--profile", default=DEFAULT, help=f"a shipped profile or a path to a .toml ({DEFAULT})")
    proof.add_argument("--build", type=Path, default=BUILD, help="where artefacts are kept (build/)")
    outside = add("bfcl", help="score a variant on the items of bfcl-eval, gate nothing")
    outside.add_argument("--profile", default="smollm2", help="a shipped profile or a path to a .toml (smollm2)")
    outside.add_argument("--variant", help="who is asked (fused-5bit, else the first production variant)")
    outside.add_argument("--items", type=int, default=100, help="at most so many items of each category (100)")
    outside.add_argument("--data", type=Path, default=BFCL, help="where bfcl-eval is installed (.nox/bfcl/)")
    outside.add_argument("--build", type=Path, default=BUILD, help="where artefacts are kept (build/)")
    outside.add_argument("--reports", type=Path, default=BFCL_REPORTS, help="where reports go (reports/bfcl/)")
    return top


def _add_gate(command: argparse.ArgumentParser) -> None:
    """The arguments of ``gate``."""
    given = command.add_mutually_exclusive_group()
    given.add_argument("--results", type=Path, metavar="RUN.json", help="a run measured elsewhere; needs no MLX")
    given.add_argument("--merge", type=Path, metavar="DIR", help="join the shards below DIR into one run and judge it")
    command.add_argument("--profile", help=f"a shipped profile or a path to a .toml (the run's; {DEFAULT})")
    command.add_argument("--baseline", metavar="RUN", help="an accepted run by path or name (the lane's newest)")
    command.add_argument(
        "--against", metavar="REF", help="a commit to measure and judge against, in place of a baseline"
    )
    command.add_argument("--commit", help="the commit that must have been measured (this checkout's HEAD)")
    command.add_argument("--build", type=Path, default=BUILD, help="where artefacts are kept (build/)")
    command.add_argument("--history", type=Path, default=ACCEPTED, help="accepted runs (reports/history/)")
    command.add_argument("--reports", type=Path, default=REPORTS, help="where reports go (reports/latest/)")


def _add_power(command: argparse.ArgumentParser) -> None:
    """The arguments of ``power``."""
    command.add_argument("--pairs", type=int, default=30, help="identical pairs (30)")
    text = "this case only, a plant's name or `pair`; may be repeated"
    command.add_argument("--only", action="append", default=[], metavar="NAME", help=text)
    command.add_argument("--build", type=Path, default=BUILD, help="where artefacts are kept (build/)")
    command.add_argument("--reports", type=Path, default=POWER_REPORTS, help="where reports go (reports/power/)")


def _add_history(command: argparse.ArgumentParser) -> None:
    """The actions of ``history``."""
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    given = {
        "list": actions.add_parser("list", help="the runs of a lane, or of all"),
        "show": actions.add_parser("show", help="one run, verified"),
        "compare": actions.add_parser("compare", help="two runs side by side"),
        "plot": actions.add_parser("plot", help="accuracy, decode rate and memory over the runs, as a page a lane"),
        "accept": actions.add_parser("accept", help="make a run the baseline of its lane"),
    }
    for action in given.values():
        action.add_argument("--build", type=Path, default=BUILD, help="every run is below this, in history/ (build/)")
        action.add_argument("--history", type=Path, default=ACCEPTED, help="accepted runs (reports/history/)")
    for name in ("list", "plot"):
        given[name].add_argument("lane", nargs="?", help="a lane, or a part of its name (all)")
        given[name].add_argument("--accepted", action="store_true", help="accepted runs instead of every run")
    given["list"].add_argument("--last", type=int, help="the last N runs of each lane only")
    given["plot"].add_argument("--out", type=Path, default=PLOTS, help="where pages go (build/plots/)")
    run = "a run of the history: its path, or a part of its name"
    given["show"].add_argument("run", metavar="RUN", help=run)
    given["compare"].add_argument("runs", nargs=2, metavar="RUN", help=run)
    given["accept"].add_argument("run", metavar="RUN", help=f"a reports folder, a run.json, or {run}")
    given["accept"].add_argument("--reason", required=True, help="why; kept with the run")
    allowed = ("failed", "inconclusive", "partial", "dirty")
    text = "accept such a run all the same; may be repeated"
    given["accept"].add_argument("--allow", action="append", default=[], choices=allowed, help=text)


def _add_check(data: argparse.ArgumentParser) -> None:
    """The arguments of ``data --check``."""
    check = data.add_argument_group("check a chat file instead of building")
    check.add_argument("--check", type=Path, metavar="FILE", help="mlx-lm chat JSONL whose every fault is to be named")
    check.add_argument("--format", choices=get_args(Format), help="how its calls are written (the profile's, or found)")
    check.add_argument("--against", type=Path, metavar="FILE", help="a test file that its user turns must not be near")
    check.add_argument("--model", type=Path, metavar="FOLDER", help="a model whose tokenizer measures its rows")
    check.add_argument(
        "--max-tokens", type=int, help="the longest row (the profile's row_tokens, or the model's limit)"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    options = parser().parse_args(arguments)
    os.environ.update(importable())
    for name in ("build", "reports"):  # suites run in the checkout, whatever folder the caller is in
        if isinstance(given := getattr(options, name, None), Path):
            setattr(options, name, given.absolute())
    from phase8.cli import stages as commands  # rich and the stages are not needed for --help

    try:
        return getattr(commands, options.command)(options)
    except InvalidInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; finished artefacts are kept, training goes on from its last checkpoint", file=sys.stderr)
        return 130
