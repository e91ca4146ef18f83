"""The page of a profile's keys is the models' own."""

import re

from phase8.core.project import ROOT
from phase8.profile.loading import PROFILES
from phase8.profile.reference import page


def test_the_page_is_up_to_date() -> None:
    """Run ``python -m harness docs`` where this fails."""
    assert (ROOT / "docs" / "profile.md").read_text(encoding="utf-8") == page()


def test_every_key_of_a_shipped_profile_is_listed_in_its_section() -> None:
    """As a person looks it up: the header in the TOML, then the key."""
    listed: dict[str, set[str]] = {}
    heading = ""
    for line in page().splitlines():
        if found := re.match(r"## `\[+([a-z_.]+)\]+`", line):
            heading = found[1]
        elif found := re.match(r"\| `([a-z_]+)` \|", line):
            listed.setdefault(heading, set()).add(found[1])
    for path in PROFILES.glob("*.toml"):
        section = ""
        for line in path.read_text(encoding="utf-8").splitlines():
            if found := re.match(r"\[+([a-z_.]+)\]+", line):
                section = found[1]
            elif (found := re.match(r"([a-z_]+) *=", line)) and section not in (
                "roles",
                "budgets.latency.seconds_per_query",
            ):
                assert found[1] in listed[section], (path.name, section, found[1])
