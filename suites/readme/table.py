"""How each command of the documents is held to what they say of it, in the order in which they are run."""

from typing import Literal, NamedTuple

How = Literal["quick", "long", "not run"]


class Command(NamedTuple):
    """One command as it is written.

    ``quick`` ones are run by the tests and by ``nox -s readme``, ``long`` ones by that session alone. ``pocket`` is
    what the tests add so that nothing has to be trained. ``says`` must be in the output, ``leaves`` is a file (a
    pattern) that must be there afterwards and be newer. ``then`` is done where a document says it in words. ``why`` is
    the reason that a command is long or not run.
    """

    text: str
    how: How = "quick"
    why: str = ""
    exits: tuple[int, ...] = (0,)
    says: str = ""
    leaves: str = ""
    pocket: str = ""
    then: str = ""


def long(text: str, why: str, **rest) -> Command:
    """A command for ``nox -s readme``."""
    return Command(text, "long", why, **rest)


def not_run(text: str, why: str) -> Command:
    """A command that nothing runs."""
    return Command(text, "not run", why)


NAMES_A_PROGRAM = "it names the program; the commands behind it are in this table"
MACHINES = "several machines and a folder that they share; `ci/phase8.sh all` takes the same steps on one"
TRAINS = "trains the default profile: a quarter of an hour"
ACCEPT = ".nox/shared/bin/python -m harness history accept reports/latest --reason"
SNAPSHOT = ".nox/shared/bin/python -m pytest suites/phase8 --profile {} --snapshot-update"
GATE = "reports/latest/gate.json"
RECORDED = "suites/phase8/__snapshots__/*/*/*/test_tool_calls.json"
COMMIT_CALLS = "git add suites/phase8/__snapshots__ && git commit --quiet -m 'Accept tool calls'"
ON_POCKET = " -- --profile pocket"

TABLE = [
    # A run of one's own models, and what is done with it.
    Command(".venv/bin/nox -s phase8 -- --profile path/to/mine.toml", says="PASS", leaves="reports/latest/report.html"),
    Command(
        ".venv/bin/nox -s data -- --profile path/to/mine.toml --check train.jsonl --against held-out.jsonl "
        "--model models/mine-5bit",
        says="0 errors",
    ),
    Command(f"{ACCEPT} TEXT", says="accepted: ", leaves="reports/history/*/*.json"),
    Command("nox -s gate -- --results RUN.json --profile PROFILE", says="FINE", leaves=GATE),
    Command("git add -f mine/mine.toml"),
    Command(f'{ACCEPT} "First baseline" && git add reports/history && git commit', says="accepted: "),
    Command(".nox/shared/bin/python -m harness compare RUN RUN", says="mine-5bit"),
    Command("nox -s history", says="pass"),
    Command("harness history list", says="pass"),
    Command("nox -s history -- plot", leaves="build/plots/*"),
    Command("pytest-benchmark --storage file://build/history compare", says="mine-5bit"),
    Command(
        SNAPSHOT.format("PROFILE"),
        says="mine-5bit: accepted: suites/phase8/__snapshots__/",
        leaves=RECORDED,
        then=COMMIT_CALLS,
    ),
    # What was built, and what the machine can do.
    Command(
        ".nox/shared/bin/python -m harness integrity models/mine-4bit --base models/base --adapter adapters",
        says="EQUAL",
    ),
    Command(
        ".nox/shared/bin/python -m harness integrity FOLDER --base BASE --adapter ADAPTER",
        says="EQUAL",
    ),
    Command("nox -s phase8 -- --profile qwen3-coder-30b --plan", exits=(0, 1), says="fused-5bit"),
    Command("nox -s data", says="corpus", pocket=ON_POCKET),
    Command("nox -s probe", says="fits", pocket=ON_POCKET),
    Command("nox -s train", says="adapter", pocket=ON_POCKET),
    Command('nox -s "fuse(bits=5)"', says="fused", pocket=ON_POCKET),
    Command("nox -s shards", says="key=", pocket=ON_POCKET),
    Command(".nox/shared/bin/python -m harness doctor", exits=(0, 1), says="BLAS"),
    Command(".nox/shared/bin/python -m harness artefacts list", says="corpus"),
    Command(".nox/shared/bin/python -m harness artefacts verify", says="sound"),
    Command("nox -l", says="readme"),
    Command(".nox/shared/bin/python -m harness docs", says="docs/run.schema.json", leaves="docs/profile.md"),
    # The rest takes long.
    long("nox -s phase8 -- --profile pocket", "trains pocket", says="PASS", leaves="reports/latest/report.html"),
    long(
        'harness history accept reports/latest --reason "First baseline of this machine"',
        "needs a run of pocket that was made here",
        says="accepted: ",
    ),
    long(
        'git add reports/history && git commit -m "Accept the first baseline"',
        "needs a run of pocket that was made here",
        says="Accept the first baseline",
    ),
    long(
        SNAPSHOT.format("pocket"),
        "times six variants",
        says="fused-5bit: accepted: ",
        leaves=RECORDED,
        then=COMMIT_CALLS,
    ),
    long("nox -s gate -- --profile pocket", "times both sides", exits=(0, 1), says="fused-5bit: latency", leaves=GATE),
    long(
        "nox -s gate -- --profile pocket --against HEAD~1",
        "two runs, and times both sides",
        exits=(0, 1),
        says="fused-5bit: latency",
        leaves=GATE,
    ),
    long(".venv/bin/nox -s gate -- --profile path/to/mine.toml", "times both sides", exits=(0, 1), says="mine-5bit"),
    long("nox -s gate -- --profile PROFILE", "times both sides", exits=(0, 1), says="mine-5bit"),
    long("nox -s phase8", TRAINS, says="Reports: ", leaves="reports/latest/report.html"),
    long("nox -s phase8 -- --variant fused-5bit", TRAINS, says="PARTIAL", leaves="reports/latest/report.html"),
    long("nox -s gate", TRAINS, exits=(0, 1), leaves=GATE),
    long("nox -s prove -- fuse", "fuses with stock mlx-lm too"),
    long("nox -s prove -- rounding", "fuses with stock mlx-lm in every arithmetic"),
    long("nox -s prove -- recovery", "scores adapters of known strength"),
    long("nox -s prove -- interval", "simulates thousands of intervals"),
    long("nox -s prove -- recipe", "trains again and again: an hour"),
    long("nox -s prove", "without what is to be proved it says what can be", exits=(1,), says="fuse"),
    long("nox -s bench -- train", "trains with stock mlx-lm too"),
    long("nox -s bench -- fuse", "a model of 1.3 B parameters"),
    long("nox -s bfcl", "gets data, asks 200 items", leaves="reports/bfcl/bfcl.json"),
    long(
        "nox -s bfcl -- --variant fused-5bit --items 100", "gets data, asks 200 items", leaves="reports/bfcl/bfcl.json"
    ),
    long("ci/phase8.sh all", TRAINS, exits=(0, 2), says="input"),
    long("ci/phase8.sh plan", "needs nox in .venv", says="key="),
    long("nox -s power", "over a hundred gates: hours"),
    long("python3 -m venv .venv && .venv/bin/pip install nox && .venv/bin/nox -s phase8", "installs", says="Reports: "),
    long("python3 -m venv .venv && .venv/bin/pip install nox && .venv/bin/nox -s tests", "installs", says="passed"),
    # Deletes what other profiles need, so it comes last.
    Command(".nox/shared/bin/python -m harness artefacts prune --profile smollm2"),
    # What nothing runs.
    not_run("nox -s browser", "needs Chromium; it is a session of its own"),
    not_run("apt-get install chromium", "changes the system"),
    not_run("nox -s readme", "would run itself"),
    not_run(".venv/bin/nox -s tests", "the two commands of the README install nox and run it"),
    not_run(".ci/run", "is the second command of the README"),
    not_run(".nox/shared/bin/python -m pytest suites/unit/test_gate.py", "nox -s tests runs every file of the tests"),
    not_run("nox -s power -- --only NAME", "nox -s power runs every case; test_power.py runs one"),
    not_run(".nox/shared/bin/python -m harness", NAMES_A_PROGRAM),
    not_run("pytest-benchmark compare", NAMES_A_PROGRAM),
    not_run("export PHASE8_PROFILE=pocket PHASE8_SHARED=/mnt/phase8", MACHINES),
    *(
        not_run(f"ci/phase8.sh shard {name}", MACHINES)
        for name in ("adapter", *(f"fused-{b}bit" for b in (4, 5, 6, 8)))
    ),
    not_run("ci/phase8.sh gate", MACHINES),
    not_run(
        ".nox/judging/bin/python -m harness history accept $PHASE8_SHARED/reports/pocket-$(git rev-parse HEAD) "
        '--reason "First baseline of this lane"',
        MACHINES,
    ),
    not_run("harness run --variant NAME ... --reports reports/shards/NAME", "test_end_to_end.py runs and joins shards"),
    not_run("harness history accept FOLDER --reason TEXT", "the same command with reports/latest is run"),
    not_run(
        "harness history accept reports/latest --reason TEXT", "the same command is run with the whole path of Python"
    ),
    not_run(
        'git checkout -b shorter-training && git commit -am "Train for 20 iterations instead of 150"',
        "a walk-through of one day: the profile is changed by hand before",
    ),
    *(
        not_run(
            f"nox -s gate -- --results {run} --commit {commit}", "a walk-through of one day, with that day's commit"
        )
        for run, commit in (
            ("run.json", "77cf59ea1ad4b66593ae41e2ec14de01571e239b"),
            ("../mac/run.json", "a0361fffef98f5dea99d857a45938ab61918980e"),
            ("../mac/run.json", "0123456789012345678901234567890123456789"),
        )
    ),
    not_run("nox -s phase8 -- --profile qwen3-coder-30b", "needs Apple silicon or CUDA, and a hub"),
    not_run("nox -s gate -- --results latest/run.json --commit SHA", "a run of a Mac; the same is run with an own one"),
]
