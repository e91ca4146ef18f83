"""Every command of the documents, run as it is written: each with its exit code and its seconds."""

import os
import time
from pathlib import Path

import pytest

from suites.readme.site import Site
from suites.readme.table import TABLE, Command
from suites.unit.pocket_run import pocket_run


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A clone with pocket built, and with the nox that runs this session."""
    build = pocket_run(tmp_path_factory.mktemp("pocket")).build
    return Site(tmp_path_factory.mktemp("site") / "checkout", build, nox=Path(os.environ["PHASE8_NOX"]))


@pytest.mark.parametrize("command", TABLE, ids=lambda command: command.text)
def test_a_command_does_what_the_documents_say(
    site: Site, command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command that begins with an environment of its own gets a clone that has none."""
    if command.how == "not run":
        pytest.skip(command.why)
    place = Site(tmp_path / "checkout") if command.text.startswith("python3 -m venv") else site
    began = time.time() - 1
    ran = place.run(command, as_written=True)
    found = place.faults(command, ran, began)
    with capsys.disabled():
        print(f"\n{'; '.join(found) or 'ok'}: exit code {ran.exit_code} in {ran.seconds:.1f} s: {command.text}")
    assert found == [], ran.said
