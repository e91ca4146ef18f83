"""Every command of the documents is in the table of what is run, and the quick ones do what the documents say."""

import time
from collections import Counter

import pytest

from suites.readme.documents import commands
from suites.readme.site import Site
from suites.readme.table import TABLE, Command
from suites.unit.pocket_run import PocketRun

QUICK = [command for command in TABLE if command.how == "quick"]


def test_every_command_of_the_documents_is_run_or_has_a_reason_not_to_be() -> None:
    """A command that is written and in no list fails here; one that is in a list and nowhere written too."""
    written = {command.text for command in commands()}
    assert written == {command.text for command in TABLE}
    assert [text for text, count in Counter(command.text for command in TABLE).items() if count > 1] == []
    assert [command.text for command in TABLE if command.how != "quick" and not command.why] == []


def test_a_command_that_is_run_has_something_to_do() -> None:
    """An exit code alone says little: most commands say something or leave a file."""
    silent = {"git add -f mine/mine.toml", ".nox/shared/bin/python -m harness artefacts prune --profile smollm2"}
    assert {command.text for command in QUICK if not command.says and not command.leaves} == silent


@pytest.fixture(scope="module")
def site(pocket: PocketRun, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A clone with pocket built."""
    return Site(tmp_path_factory.mktemp("site") / "checkout", pocket.build)


@pytest.mark.parametrize("command", QUICK, ids=lambda command: command.text)
def test_a_command_does_what_the_documents_say(site: Site, command: Command) -> None:
    """Run as it is written, one after another: a baseline is accepted before it is judged against."""
    began = time.time() - 1
    ran = site.run(command)
    assert site.faults(command, ran, began) == [], ran.said
