"""What CI runs: workflows and the shell recipe name only sessions and options that exist; the comment, over HTTP."""

import argparse
import ast
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from phase8.cli.main import parser
from phase8.core.project import ROOT

if TYPE_CHECKING:
    from suites.unit.github import GitHub

WORKFLOWS = ROOT / ".github" / "workflows"
FILES = ("gate.yml", "phase8.yml")
SCRIPT = ROOT / "ci" / "phase8.sh"
DOCS = (ROOT / "docs" / "ci.md", ROOT / "docs" / "gate.md", ROOT / "README.md")
SESSION = re.compile(r"""(?:nox|session) -s "?([a-z0-9]+)(\([a-z]+=[^)]*\))?"?([^|`#\n]*)""")
HARNESS = re.compile(r"(?:-m harness|\$ harness) ([a-z0-9]+)([^|`#\n]*)")


def workflow(name: str) -> dict[Any, Any]:
    """A workflow as GitHub reads it."""
    import yaml  # with what mlx-lm needs; collecting the suites does not

    return yaml.safe_load((WORKFLOWS / name).read_text(encoding="utf-8"))


def commands() -> str:
    """Everything that a job runs and that the documents tell a person to run, lines joined where they go on."""
    texts = [step.get("run", "") for name in FILES for job in workflow(name)["jobs"].values() for step in steps(job)]
    texts += [path.read_text(encoding="utf-8") for path in (SCRIPT, *DOCS)]
    return "\n".join(texts).replace("\\\n", " ")


def steps(job: dict[str, Any]) -> list[dict[str, Any]]:
    """A job's steps; one that calls another workflow has none."""
    return job.get("steps", [])


def sessions() -> dict[str, set[str]]:
    """The sessions of noxfile.py with their parameters."""
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {
        one.name: {argument.arg for argument in one.args.args} - {"session"}
        for one in functions
        if any("nox.session" in ast.unparse(decorator) for decorator in one.decorator_list)
    }


def options(command: str) -> set[str]:
    """Every option of a command of the harness, those of its actions too."""
    found: set[str] = set()
    waiting = [_subcommands(parser())[command]]
    while waiting:
        one = waiting.pop()
        found.update(one._option_string_actions)
        waiting += _subcommands(one).values()
    return found


def _subcommands(of: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    actions = [action for action in of._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(actions[0].choices) if actions else {}


def given(text: str) -> set[str]:
    """The long options in a piece of a command line."""
    return set(re.findall(r"(?<!\S)--[a-z][a-z-]*", text))


RUNS = {"phase8": "run"}  # sessions whose command has another name
OWN = {"tests", "lint", "browser"}  # sessions that run no command of the harness


def test_every_session_that_ci_and_the_documents_name_exists() -> None:
    """A renamed session fails here, not in somebody's pull request."""
    named = [(name, set(re.findall(r"(\w+)=", given))) for name, given, _ in SESSION.findall(commands())]
    assert {"shards", "fuse", "phase8", "gate"} <= {name for name, _ in named}
    assert [
        (name, given) for name, given in named if given - sessions().get(name, set()) or name not in sessions()
    ] == []
    assert ("fuse", {"bits"}) in named


def test_every_option_that_ci_and_the_documents_give_exists() -> None:
    """Those after ``--`` of a session, and those of a command of the harness."""
    wrong, checked = [], 0
    for name, _, rest in SESSION.findall(commands()):
        asked = given(rest.partition(" -- ")[2])
        checked += len(asked)
        if name not in OWN:
            wrong += [(name, option) for option in asked - options(RUNS.get(name, name))]
    for name, rest in HARNESS.findall(commands()):
        asked = given(rest)
        checked += len(asked)
        wrong += [(name, option) for option in asked - options(name)]
    assert wrong == []
    assert checked > 20


@pytest.mark.parametrize("name", FILES)
def test_every_job_has_a_time_limit_and_says_what_it_may_do(name: str) -> None:
    """Nothing is allowed but what a job asks for; a call of another workflow has that one's limits."""
    found = workflow(name)
    assert found["permissions"] == {}
    for job in found["jobs"].values():
        assert "permissions" in job
        assert "write" not in {v for k, v in job["permissions"].items() if k != "pull-requests"}
        assert "uses" in job or job["timeout-minutes"]


@pytest.mark.parametrize("name", FILES)
def test_actions_are_pinned_and_no_step_pastes_an_expression_into_a_shell(name: str) -> None:
    """A title or branch with a quote in it must stay text: values reach a script by its environment."""
    for job in workflow(name)["jobs"].values():
        for step in steps(job):
            assert "${{" not in step.get("run", "")
            if action := step.get("uses"):
                assert re.fullmatch(r"actions/[a-z/-]+@v\d+", action)
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False


def test_the_caller_gives_only_inputs_that_there_are() -> None:
    """YAML's ``on`` is read as true."""
    called = workflow("phase8.yml")[True]["workflow_call"]
    for job in workflow("gate.yml")["jobs"].values():
        assert job["uses"] == "./.github/workflows/phase8.yml"
        assert set(job["with"]) <= set(called["inputs"])
    for output in called["outputs"].values():
        job, name = re.findall(r"jobs\.(\w+)\.outputs\.(\w+)", output["value"])[0]
        assert name in workflow("phase8.yml")["jobs"][job]["outputs"]


def test_what_a_job_hands_on_is_what_the_plan_prints() -> None:
    """Each ``steps.plan.outputs.NAME`` is a line of ``harness shards``, each matrix value a field of a shard."""
    from phase8.core.store import Store
    from phase8.profile import loading
    from phase8.shards.plan import Shard, outputs
    from phase8.stages.flow import Flow

    plan = outputs(Flow(loading.load("pocket"), Store(ROOT / "build")))
    printed = dict(line.split("=", 1) for line in plan.splitlines())
    text = (WORKFLOWS / "phase8.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"steps\.plan\.outputs\.(\w+)", text)) <= set(printed)
    assert set(re.findall(r"matrix\.(\w+)", text)) <= set(Shard.model_fields)
    handed_on = workflow("phase8.yml")["jobs"]["first"]["outputs"]
    assert set(re.findall(r"needs\.first\.outputs\.(\w+)", text)) <= set(handed_on)


@pytest.fixture
def github() -> "Iterator[tuple[type[GitHub], str]]":
    """A server of its own with 120 comments of people, one of whom quotes ours."""
    from http.server import HTTPServer  # which collecting the tests need not import

    from suites.unit.github import GitHub

    person = {"user": {"type": "User"}, "html_url": "", "body": "<!-- phase8-gate: pocket --> what is this?"}
    handler = type("Handler", (GitHub,), {"comments": [{**person, "id": number} for number in range(120)]})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield handler, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def comment(tmp_path: Path, address: str, text: str, profile: str = "pocket") -> subprocess.CompletedProcess[str]:
    """The script as the workflow calls it."""
    (tmp_path / "gate.md").write_text(text, encoding="utf-8")
    command = [sys.executable, str(ROOT / "ci" / "comment.py"), str(tmp_path / "gate.md")]
    environment = {
        **os.environ,
        "GITHUB_API_URL": address,
        "GITHUB_REPOSITORY": "me/mine",
        "GITHUB_TOKEN": "token",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
    }
    given = ["--profile", profile, "--pull-request", "7"]
    return subprocess.run([*command, *given], env=environment, capture_output=True, text=True, check=False)


def test_a_second_run_updates_the_comment_of_the_first(tmp_path: Path, github: "tuple[type[GitHub], str]") -> None:
    """One comment a profile, found on the second page; a person's that quotes it stays as it is."""
    handler, address = github
    for text, profile in (("# Regressed", "pocket"), ("# Fine", "pocket"), ("# Other", "smollm2")):
        ran = comment(tmp_path, address, text, profile)
        assert ran.returncode == 0, ran.stderr
    assert [one["body"] for one in handler.comments[120:]] == [
        "<!-- phase8-gate: pocket -->\n# Fine",
        "<!-- phase8-gate: smollm2 -->\n# Other",
    ]
    assert len({one["body"] for one in handler.comments[:120]}) == 1


def test_a_token_that_may_not_write_leaves_the_text_in_the_summary(
    tmp_path: Path, github: "tuple[type[GitHub], str]"
) -> None:
    """As every pull request from a fork has: no failure, and nothing is lost."""
    handler, address = github
    handler.writable = False
    ran = comment(tmp_path, address, "# Regressed")
    assert ran.returncode == 0, ran.stderr
    assert "may not write" in ran.stdout
    assert "# Regressed" in (tmp_path / "summary.md").read_text(encoding="utf-8")


def test_a_github_that_cannot_be_reached_is_an_error(tmp_path: Path) -> None:
    """A comment that was to be there and is not must not look like one."""
    ran = comment(tmp_path, "http://127.0.0.1:9", "# Fine")
    assert ran.returncode == 1
    assert "cannot be reached" in ran.stderr


def test_the_recipe_says_what_it_can_do() -> None:
    """Without an argument; nothing is installed or run."""
    ran = subprocess.run([str(SCRIPT)], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert {"plan", "shard", "gate", "all"} <= set(shlex.split(ran.stdout.replace("`", "")))
