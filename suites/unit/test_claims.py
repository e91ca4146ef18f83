"""What a closing answer claims is held against the output, whoever wrote the answer."""

import pytest

from phase8.chat.formats import Call
from phase8.corpus.checks.claims import claims

PLACES = "shop/a.py:12:class Amber:\nshop/a.py:30:class AmberLeaf:\nshop/b.py:4:Amber = 1"
GREP = Call(name="run_command", arguments={"command": "grep -rn Amber shop"})
SIX = Call(name="run_command", arguments={"command": "grep -rn Amber six"})
LIST = Call(name="run_command", arguments={"command": "grep -rl Amber ."})
COUNT = Call(name="run_command", arguments={"command": "grep -c '^def ' shop/a.py"})
NUMBERED = Call(name="run_command", arguments={"command": "grep -n Amber shop/a.py"})
FIND = Call(name="run_command", arguments={"command": "find shop -name '*.html'"})
READ = Call(name="read_file", arguments={"path": "shop/a.py", "start": 4, "end": 6})
OPEN = Call(name="read_file", arguments={"path": "shop/a.py"})
FOLDER = Call(name="list_directory", arguments={"path": "shop"})

TRUE = [
    ("3 matches.", GREP, PLACES),
    ("3 matches, first in shop/a.py.", GREP, PLACES),
    ("Found 3 matches in 2 files.", GREP, PLACES),
    ("In shop/a.py, line 12.", GREP, PLACES),
    ("3 matches in shop.", GREP, PLACES),
    ("`AmberLeaf` is one of 3.", GREP, PLACES),
    ("2 files, first shop/a.py.", LIST, "shop/a.py\nshop/b.py"),
    ("7.", COUNT, "7"),
    ("It has 7 functions.", COUNT, "7"),
    ("Line 12.", NUMBERED, "12:class Amber:"),
    ("1 file.", FIND, "shop/x.html"),
    ("Lines 4 to 6.", READ, "a\nb\nc"),
    ("3 lines shown.", OPEN, "a\nb\nc"),
    ("`(AmberLeaf` is one of 3.", GREP, PLACES.replace("AmberLeaf", "(AmberLeaf)")),
    ("3 matches in six.", SIX, PLACES),
    ("2 entries.", FOLDER, "a.py\nforms/"),
]
FALSE = [
    ("4 matches.", GREP, PLACES),
    ("Found 3 matches in 3 files.", GREP, PLACES),
    ("3 matches, first in shop/b.py.", GREP, PLACES),
    ("In shop/a.py, line 13.", GREP, PLACES),
    ("In shop/a.py, line 30.", GREP, PLACES),
    ("3 matches in store.", GREP, PLACES),
    ("`BirchLeaf` is one of 3.", GREP, PLACES),
    ("3 files, first shop/a.py.", LIST, "shop/a.py\nshop/b.py"),
    ("1.", COUNT, "7"),
    ("Line 1.", NUMBERED, "12:class Amber:"),
    ("Lines 4 to 7.", READ, "a\nb\nc"),
    ("2 lines shown.", OPEN, "a\nb\nc"),
    ("3 entries.", FOLDER, "a.py\nforms/"),
    ("1 match.", GREP, ""),
    ("`Ambe` is one of 3.", GREP, PLACES),
    ("`Leaf` is one of 3.", GREP, PLACES),
    ("Three matches, first in shop/a.py.", GREP, PLACES),
    ("In shop/a.py there are forty-two matches.", GREP, PLACES),
    ("In shop/a.py, line 12, one match.", GREP, PLACES),
]


def test_a_true_answer_is_borne_out(subtests: pytest.Subtests) -> None:
    """Each of its claims, and it has one."""
    for answer, call, output in TRUE:
        with subtests.test(answer=answer, call=call, output=output):
            found = claims(answer, call, output)
            assert found
            assert all(claim.true for claim in found)


def test_an_untrue_answer_is_not(subtests: pytest.Subtests) -> None:
    """A wrong count, path, line or name is seen."""
    for answer, call, output in FALSE:
        with subtests.test(answer=answer, call=call, output=output):
            assert not all(claim.true for claim in claims(answer, call, output))


def test_an_answer_without_count_path_or_name_claims_nothing() -> None:
    """So it cannot be called true."""
    assert claims("There it is.", GREP, PLACES) == []


def test_a_false_claim_says_what_is_true() -> None:
    """For the report."""
    found = claims("4 matches, first in shop/b.py.", GREP, PLACES)
    assert {(claim.said, claim.expected) for claim in found} == {("4 matches", "3"), ("shop/b.py", "shop/a.py")}
