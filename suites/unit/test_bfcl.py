"""The outside benchmark: its items read, replies judged by its rules, figures counted; no network, no model."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from phase8.cases.benchmark import AskedBatch, BenchmarkReply
from phase8.chat.formats import Call, describe_tools, render_call
from phase8.cli.main import main
from phase8.core.errors import InvalidInput
from phase8.profile.loading import load
from phase8.profile.terms import Format
from phase8.proofs.bfcl.items import Accepted, Item, json_schema, read_benchmark
from phase8.proofs.bfcl.report import NOTE, markdown, save, show
from phase8.proofs.bfcl.run import Report, default_variant, measure, read_batches, replies_step
from phase8.proofs.bfcl.scoring import Judgement, is_accepted, judge, reading_tools, standardised
from phase8.record.run import Finish
from suites.unit.profiles import flow, prompting, smollm2, write_profile

AREA: dict[str, Any] = {
    "name": "geometry.area",
    "description": "The area of a triangle.",
    "parameters": {
        "type": "dict",
        "properties": {
            "base": {"type": "integer"},
            "height": {"type": "float"},
            "unit": {"type": "string", "enum": ["cm", "m"]},
            "corners": {"type": "array", "items": {"type": "tuple", "items": {"type": "float"}}},
        },
        "required": ["base", "height"],
    },
}
RIGHT = {"base": [10], "height": [5.0], "unit": ["m", ""], "corners": ["", [[0.0, 1.5]]]}


def write_data(folder: Path, count: int = 3, **changes: Any) -> Path:
    """A folder as pip installs the wheel into, with ``count`` items a category; the first item changed."""
    data = folder / "bfcl_eval" / "data"
    (data / "possible_answer").mkdir(parents=True, exist_ok=True)
    answers = [{"id": f"simple_python_{i}", "ground_truth": [{"geometry.area": RIGHT}]} for i in range(count)]
    write_lines(data / "possible_answer" / "BFCL_v4_simple_python.json", answers)
    for category in ("simple_python", "irrelevance"):
        rows = [
            {
                "id": f"{category}_{i}",
                "question": [[{"role": "user", "content": f"Question {i}?"}]],
                "function": [AREA],
                "of_another_version": True,
            }
            for i in range(count)
        ]
        rows[0] |= changes
        write_lines(data / f"BFCL_v4_{category}.json", rows)
    information = folder / "bfcl_eval-2026.3.23.dist-info"
    information.mkdir(exist_ok=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: bfcl-eval\nVersion: 2026.3.23\n")
    return folder


def write_lines(path: Path, rows: list[dict]) -> None:
    """JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def item(*, irrelevant: bool = False) -> Item:
    """One item with the function above."""
    tool = {"type": "function", "function": AREA | {"parameters": json_schema(AREA["parameters"])}}
    return Item(
        id="irrelevance_0" if irrelevant else "simple_python_0",
        category="irrelevance" if irrelevant else "simple_python",
        messages=({"role": "user", "content": "Area?"},),
        tools=(tool,),
        accepted=None if irrelevant else Accepted(name="geometry.area", arguments=RIGHT),
    )


def fenced(name: str = "geometry.area", **arguments: Any) -> str:
    """A call as a reply of the fenced format."""
    return f"```json\n{json.dumps({'name': name, 'arguments': arguments})}\n```"


def judged(text: str, finish: Finish = "stop", *, irrelevant: bool = False) -> Judgement:
    """A reply to the item, judged."""
    return judge(item(irrelevant=irrelevant), text, finish, prompting())


def test_schemas_become_json_schema_at_every_depth() -> None:
    """BFCL's own names of types are replaced, in lists and objects too, and a value of any type has none."""
    given = {
        "type": "dict",
        "optional": True,
        "properties": {
            "point": {"type": "tuple", "items": {"type": "float"}},
            "anything": {"type": "any", "description": "What you like."},
            "table": {"type": "dict", "properties": {"rows": {"type": "array", "items": {"type": "dict"}}}},
        },
        "required": ["point"],
    }
    assert json_schema(given) == {
        "type": "object",
        "properties": {
            "point": {"type": "array", "items": {"type": "number"}},
            "anything": {"description": "What you like."},
            "table": {"type": "object", "properties": {"rows": {"type": "array", "items": {"type": "object"}}}},
        },
        "required": ["point"],
    }


def test_an_argument_named_type_is_no_type() -> None:
    """The names of properties are names."""
    schema = {"type": "dict", "properties": {"type": {"type": "string"}, "items": {"type": "any"}}}
    assert json_schema(schema)["properties"] == {"type": {"type": "string"}, "items": {}}


def test_an_unknown_type_is_refused() -> None:
    """It is named, with those that are known."""
    with pytest.raises(InvalidInput, match="type 'HashMap' is not one of dict, float, tuple, any, string"):
        json_schema({"type": "dict", "properties": {"x": {"type": "HashMap"}}})


def test_items_are_read_with_version_hashes_and_answers(tmp_path: Path) -> None:
    """Both categories, in the order of the files; only one has answers."""
    found = read_benchmark(write_data(tmp_path), 10)
    assert found.version == "2026.3.23"
    assert [i.id for i in found.items] == [f"{c}_{n}" for c in ("simple_python", "irrelevance") for n in range(3)]
    assert [i.accepted is None for i in found.items] == [False] * 3 + [True] * 3
    assert describe_tools(list(found.items[0].tools)) == "geometry.area(base, height, unit?, corners?)"
    assert sorted(found.files) == [
        "BFCL_v4_irrelevance.json",
        "BFCL_v4_simple_python.json",
        "possible_answer/BFCL_v4_simple_python.json",
    ]
    assert all(len(sha256) == 64 for sha256 in found.files.values())


def test_fewer_items_are_a_part_of_more(tmp_path: Path) -> None:
    """And not the first of the file, which is ordered by topic."""
    write_data(tmp_path, 40)
    few, more = ([i.id for i in read_benchmark(tmp_path, count).items] for count in (5, 20))
    assert len(few) == 10
    assert set(few) < set(more)
    assert few[:5] != [f"simple_python_{i}" for i in range(5)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"question": []}, r"BFCL_v4_simple_python.json:1: not a BFCL item: question"),
        ({"function": [{"name": "f"}]}, r":1: not a BFCL item: function.0.parameters: Field required"),
        ({"function": [{"name": "f", "parameters": {"type": "x"}}]}, "simple_python_0: its function is no schema"),
        ({"function": [AREA | {"name": "volume"}]}, "the answer calls 'geometry.area'; offered: volume"),
        ({"id": "simple_python_9"}, "simple_python_9: no answer in possible_answer"),
        ({"id": "simple_python_1"}, "an id is used twice"),
    ],
)
def test_a_faulty_item_is_refused_with_its_place(tmp_path: Path, changes: dict, message: str) -> None:
    """File and line, or file and id."""
    with pytest.raises(InvalidInput, match=message):
        read_benchmark(write_data(tmp_path, **changes), 3)


def test_without_the_data_the_command_says_how_to_get_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And exits 2 before anything is built."""
    assert main(["bfcl", "--data", str(tmp_path / "none"), "--build", str(tmp_path / "build")]) == 2
    message = capsys.readouterr().err
    assert "BFCL_v4_simple_python.json" in message
    assert "Run `nox -s bfcl`" in message
    assert not (tmp_path / "build").exists()


def test_a_count_below_one_is_refused(tmp_path: Path) -> None:
    """A share needs trials."""
    with pytest.raises(InvalidInput, match="--items is 0"):
        read_benchmark(write_data(tmp_path), 0)


def test_a_profile_that_names_no_tools_is_refused(tmp_path: Path) -> None:
    """Its models could not know what may be called."""
    profile = load(str(smollm2(tmp_path, (r" Tools:\n{tools}", ""))))
    stages, benchmark = flow(profile, tmp_path / "build"), read_benchmark(write_data(tmp_path), 1)
    with pytest.raises(InvalidInput, match="without {tools} in it"):
        replies_step(stages, stages.variant("base"), benchmark)


def test_the_right_call_matches(subtests: pytest.Subtests) -> None:
    """An integer for a float, strings without case and dots, what may be left out left out."""
    cases: list[dict[str, Any]] = [
        {"base": 10, "height": 5.0},
        {"base": 10, "height": 5},
        {"base": 10, "height": 5, "unit": "M."},
        {"base": 10, "height": 5, "corners": [[0, 1.5]]},
    ]
    for arguments in cases:
        with subtests.test(arguments=arguments):
            found = judged(fenced(**arguments))
            assert (found.decision, found.correct, found.matched, found.miss) == ("call", True, True, None)


MISSES: list[tuple[str, Finish, bool, str]] = [
    ("It is 25.", "stop", False, "no call"),
    ("  ", "stop", False, "empty reply"),
    (fenced(base=10, height=5).replace("```json", "```"), "stop", False, "wrong wrapper"),
    ("```json\n{name}\n```", "stop", False, "bad JSON"),
    ("```json\n{", "length", False, "truncated"),
    (fenced("area", base=10, height=5), "stop", True, "unknown function: 'area'; known: geometry.area"),
    (fenced(base=10), "stop", True, "missing argument: height"),
    (fenced(base=10, height=5, depth=1), "stop", True, "unknown argument: depth"),
    (fenced(base=11, height=5), "stop", True, "value: base: 11, accepted: [10]"),
    (fenced(base=10.0, height=5), "stop", True, "value: base: 10.0, accepted: [10]"),
    (fenced(base="10", height=5), "stop", True, 'value: base: "10", accepted: [10]'),
    (fenced(base=10, height=5) * 2, "stop", True, "several calls: 2, where one is right"),
]


def test_each_miss_is_named(subtests: pytest.Subtests) -> None:
    """A call that could be read is a decision to call, whatever is wrong with it."""
    for text, finish, correct, reason in MISSES:
        with subtests.test(text=text, finish=finish, correct=correct, reason=reason):
            found = judged(text, finish)
            assert (found.correct, found.matched) == (correct, False)
            assert str(found.miss).startswith(reason)


def test_an_argument_that_only_the_answers_need_is_needed() -> None:
    """One whose default would be wrong has no "" among its accepted values."""
    needed = item().model_copy(update={"accepted": Accepted(name="geometry.area", arguments=RIGHT | {"unit": ["m"]})})
    found = judge(needed, fenced(base=10, height=5), "stop", prompting())
    assert str(found.miss) == "missing argument: unit, which has no default that would be right"


def test_where_no_function_helps_only_an_answer_is_right(subtests: pytest.Subtests) -> None:
    """Not a call, nor an attempt at one, nor silence; and there is nothing to match."""
    for text, decision, reason in [
        ("I have no function for that.", "answer", "None"),
        ("", "empty", "empty reply"),
        (fenced(base=10, height=5), "call", "call: geometry.area"),
        (fenced("search", query="x"), "call", "call: 'search'; known: geometry.area"),
        ('{"name": "geometry.area"}', "malformed", "wrong wrapper"),
    ]:
        with subtests.test(text=text, decision=decision, reason=reason):
            found = judged(text, irrelevant=True)
            assert (found.decision, found.correct, found.matched) == (decision, decision == "answer", None)
            assert str(found.miss).startswith(reason)


def test_what_follows_a_stop_sequence_is_not_judged() -> None:
    """A model that writes its end of turn as ordinary text and goes on."""
    assert judged("It is 25.<|im_end|>" + fenced(base=10, height=5), irrelevant=True).correct


COMPARED: list[tuple[Any, ...]] = [
    ("New York, NY", ["new york ny"], {"type": "string"}, True),
    ("it's", ['IT"S'], {"type": "string"}, True),
    ("paris!", ["paris"], {"type": "string"}, False),
    (5, ["5"], {"type": "string"}, False),
    ("", ["metric", ""], {"type": "string"}, True),
    ("", [5, ""], {"type": "integer"}, False),
    (True, ["", True], {"type": "string"}, True),
    (1, [True], {"type": "boolean"}, False),
    (True, [1], {"type": "integer"}, False),
    (3, [2, 3], {"type": "integer"}, True),
    (3.0, [3], {"type": "integer"}, False),
    (3, [3.0], {"type": "number"}, True),
    (3.0, [3], {"type": "number"}, True),
    (float("nan"), [3.0], {"type": "number"}, False),
    (None, ["x", ""], {"type": "string"}, False),
    ([1, 2], [[1.0, 2.0]], {"type": "array", "items": {"type": "number"}}, True),
    ([2, 1], [[1, 2]], {"type": "array", "items": {"type": "integer"}}, False),
    ([1], [[1, 2]], {"type": "array"}, False),
    ("1", [["1"]], {"type": "array"}, False),
    ([], ["", []], {"type": "array"}, True),
    (["A B", "c"], [["a", "b"], ["ab", "C"]], {"type": "array", "items": {"type": "string"}}, True),
    ([[10, 20], [30, 40]], [[[10, 20], [30, 40]]], {"type": "array"}, True),
    ("my_data", ["mydata"], {}, True),
    ({"w": 20}, [{"w": [20, 21]}], {"type": "object", "properties": {"w": {"type": "integer"}}}, True),
    ({"w": 20}, [{"w": [20], "h": [12]}], {"type": "object"}, False),
    ({"w": 20}, [{"w": [20], "h": [12, ""]}], {"type": "object"}, True),
    ({"w": 20, "x": 1}, [{"w": [20]}], {"type": "object"}, False),
    ({"sam": ["2", "3"]}, [{"sam": [["2", "3"]]}], {"type": "object"}, True),
    ([{"f": "AGE"}], [[{"f": ["age"]}]], {"type": "array", "items": {"type": "object"}}, True),
    ([{"f": "age"}, {}], [[{"f": ["age"]}]], {"type": "array", "items": {"type": "object"}}, False),
    ({"in": {"k": 1}}, [{"in": [{"k": [1, 2]}]}], {"type": "object"}, True),
    ("x", [{"w": [20]}], {"type": "object"}, False),
]


def test_values_are_compared_by_their_declared_type(subtests: pytest.Subtests) -> None:
    """Strings loosely, numbers by kind, lists in order, dictionaries key by key."""
    for value, accepted, schema, expected in COMPARED:
        with subtests.test(value=value, accepted=accepted, schema=schema, expected=expected):
            assert is_accepted(value, accepted, schema) is expected


def test_strings_are_compared_without_case_blanks_and_some_punctuation() -> None:
    """Those signs that BFCL ignores and no others."""
    assert standardised(" a,b./C-d_e*f^G'h!") == 'abcdefg"h!'


@pytest.mark.parametrize("style", ["fenced", "hermes", "qwen3-coder"])
def test_a_right_call_matches_in_every_format(style: Format) -> None:
    """The XML format finds the types of its values in the schema."""
    call = Call(name="geometry.area", arguments={"base": 10, "height": 5.0, "unit": "m", "corners": [[0.0, 1.5]]})
    found = judge(item(), render_call(call, style), "stop", prompting(format=style))
    assert (found.matched, found.miss) == (True, None)


def test_reading_requires_nothing_that_scoring_names() -> None:
    """Else a missing argument would be a failure of reading, without its name."""
    assert reading_tools(item(), "fenced")[0]["function"]["parameters"] == {"properties": {}}


def test_the_five_bit_model_is_asked_where_none_is_named(tmp_path: Path) -> None:
    """Where it is no production variant, the first that is one."""
    assert default_variant(flow(load(str(smollm2(tmp_path))), tmp_path / "build")) == "fused-5bit"
    changed = smollm2(tmp_path, ('fused-5bit = "production"', 'fused-5bit = "candidate"'))
    assert default_variant(flow(load(str(changed)), tmp_path / "build")) == "fused-8bit"


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Report:
    """Three items a category, one right reply and one hostile one in each, the others as they fall."""
    says = [fenced(base=10, height=5), fenced(base=1, height=5), "</pre><b>@someone</b>\x1b[31m"]
    return measured(tmp_path, monkeypatch, lambda number: says[number])


def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: Callable[[int], str]) -> Report:
    """A report on a model folder that is never loaded: its replies lie in the store already."""
    (tmp_path / "tuned").mkdir()
    path = write_profile(tmp_path, ('format = "fenced"', 'format = "fenced"\nsystem = "Tools: {tools}"'))
    stages, benchmark = flow(load(str(path)), tmp_path / "build"), read_benchmark(write_data(tmp_path), 3)
    step = replies_step(stages, stages.variant("tuned"), benchmark)
    folder = stages.store.root / ".partial" / f"bfcl-{step.key}"
    folder.mkdir(parents=True)
    for category in ("simple_python", "irrelevance"):
        replies = tuple(
            BenchmarkReply(id=f"{category}_{i}", prompt_tokens=9, tokens=3, text=says(i), finish="stop")
            for i in range(3)
        )
        batch = AskedBatch(category=category, seconds=1.5, replies=replies)
        (folder / f"{category}-000.json").write_text(batch.model_dump_json())
    stages.store._finish(step, folder, 0.0)
    return measure(stages, stages.variant("tuned"), benchmark)


def test_shares_are_counted_by_category(report: Report) -> None:
    """Decisions in both, matches where a call is wanted, misses by kind, seconds."""
    simple, irrelevant = report.figures
    assert (simple.decided.successes, simple.decided.trials) == (2, 3)
    assert simple.matched is not None
    assert (simple.matched.successes, simple.matched.trials) == (1, 3)
    assert simple.misses == {"value": 1, "no call": 1}
    assert (irrelevant.decided.successes, irrelevant.matched) == (1, None)
    assert irrelevant.misses == {"call": 2}
    assert simple.decided.interval.method == "Clopper-Pearson"
    assert simple.seconds == irrelevant.seconds == 1.5


def test_replies_that_are_kept_are_not_asked_for_again(report: Report) -> None:
    """The model folder of this report is empty, so asking would have failed."""
    assert [found.reply for found in report.items].count(fenced(base=10, height=5)) == 2


def test_the_record_holds_every_item_and_can_be_read_back(report: Report, tmp_path: Path) -> None:
    """Prompt, reply, calls, verdict and reason."""
    save(report, tmp_path / "reports")
    found = Report.model_validate_json((tmp_path / "reports" / "bfcl.json").read_text(encoding="utf-8"))
    assert found == report
    wrong = found.items[1]
    assert (wrong.id, wrong.verdict, wrong.match) == ("simple_python_1", "right", False)
    assert wrong.reason == "value: base: 1, accepted: [10]"
    assert wrong.prompt[0]["content"] == "Tools: geometry.area(base, height, unit?, corners?)"
    assert wrong.prompt[1] == {"role": "user", "content": "Question 1?"}
    assert (found.max_tokens, found.distribution_version) == (96, "2026.3.23")


def test_the_markdown_shows_figures_and_defuses_replies(report: Report) -> None:
    """A reply cannot leave its block, style the page or act on a terminal."""
    text = markdown(report)
    assert "| simple_python | 3 | 2/3 = 66.7 % (9.4 to 99.2) | 1/3 = 33.3 % (0.8 to 90.6) | 1.5 |" in text
    assert NOTE in text
    assert "simple_python_1  value: base: 1, accepted: [10]" in text
    assert "<b>" not in text
    assert "\x1b" not in text
    assert text.count("</pre>") == text.count("<pre>") == 3


def test_the_terminal_shows_the_table_and_says_that_nothing_is_gated(report: Report, tmp_path: Path) -> None:
    """With the kinds of misses and the place of the reports."""
    stream = io.StringIO()
    show(report, Console(file=stream, width=150), tmp_path)
    text = stream.getvalue()
    for part in ("tuned of mine on bfcl-eval 2026.3.23", "2/3 = 66.7 %", "not applicable", "gate nothing"):
        assert part in text
    assert "simple_python misses: value 1, no call 1" in text
    assert str(tmp_path / "bfcl.json") in text


def test_batches_hold_every_row_once_and_stay_within_memory() -> None:
    """Shortest first; one prompt that is longer than all memory is asked alone."""
    from phase8.engine.generate.benchmark import _TOKENS_AT_ONCE, batches

    lengths = [600, 50, 20_000, *[100] * 100]
    found = batches(lengths, 96)
    assert sorted(row for rows in found for row in rows) == list(range(len(lengths)))
    assert found[-1] == [2]
    assert all(len(rows) * (lengths[rows[-1]] + 96) <= _TOKENS_AT_ONCE for rows in found[:-1])
    assert found[0][0] == 1
    assert len(found[0]) == 48


def test_replies_go_to_their_own_items_and_a_kept_batch_of_others_is_asked_again(tmp_path: Path) -> None:
    """Prompts are sorted by length to be asked; what an interrupted attempt left is trusted by its ids alone."""
    from phase8.engine.generate.benchmark import ask
    from suites.unit import tiny

    for name in ("tokenizer", "together", "alone"):
        (tmp_path / name).mkdir()
    model = tiny.model_folder(tmp_path / "model", tiny.tokenizer_folder(tmp_path / "tokenizer"), tiny.TIED)
    said = {"long": "find it in a.py call Help. find it", "short": "call", "middle": "find it in"}
    prompts = {name: [{"role": "user", "content": text}] for name, text in said.items()}
    together = tmp_path / "together"
    ask(model, None, {"simple_python": prompts}, ("<|im_end|>",), 5, together)
    found = {reply.id: reply for batch in read_batches(together) for reply in batch.replies}
    for name, messages in prompts.items():
        ask(model, None, {"simple_python": {name: messages}}, ("<|im_end|>",), 5, tmp_path / "alone")
        [batch] = read_batches(tmp_path / "alone")
        assert batch.replies == (found[name],)
    [kept] = together.glob("*.json")
    before = json.loads(kept.read_text())
    kept.write_text(kept.read_text().replace('"long"', '"other"'))
    (together / "simple_python-007.json").write_text(kept.read_text())
    ask(model, None, {"simple_python": prompts}, ("<|im_end|>",), 5, together)
    assert [path.name for path in together.glob("*.json")] == [kept.name]
    assert json.loads(kept.read_text())["replies"] == before["replies"]
